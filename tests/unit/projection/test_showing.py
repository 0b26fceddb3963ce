"""Fields in their forms: what becomes of values that they can't hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.delivery.fold import Fold
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import Change, ChangeKind, Column, ColumnType, Relation, Row
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.rejection import read_rejection
from cdc_daemon.projection.showing import Showing
from cdc_daemon.values import Form
from cdc_daemon.values.special import special

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.ports import FieldSpec
    from cdc_daemon.projection.flat import FlatProjection

COLUMNS = (
    Column("id", ColumnType("int4"), in_identity=True, nullable=False),
    Column("day", ColumnType("date")),
    Column("price", ColumnType("numeric")),
    Column("place", ColumnType("point")),
    Column("photo", ColumnType("bytea")),
)
HOTEL = Relation("public", "hotel", COLUMNS, ("id",))
NAN = special(b"null", b'"NaN"')
ENDLESS = special(b'"infinity"', b'"infinity"')
ROW: Row = [b"1", ENDLESS, NAN, b'"(1,2)"', b'"\\\\xdead"']


class Read:
    """A projection over the table, and what it counted."""

    def __init__(self, **config: Any) -> None:
        self.nulled: list[tuple[str, str]] = []
        showing = Showing(self.form, lambda *what: self.nulled.append(what))
        parsed = ProjectionConfig.model_validate({"from": "public.hotel", **config})
        tables = {"public.hotel": HOTEL}
        compiled = compile_projections({"hotels": parsed}, tables, lambda *_: "f.yaml:1", showing)
        self.projection: FlatProjection = compiled.projections[0]

    @staticmethod
    def form(field: FieldSpec, _: str) -> Form:
        """As the field's type is called."""
        return Form(field.overrides.get("type", "value"))

    def row(self, row: Row = ROW) -> Row:
        """The columns of `row` that are read."""
        read = [column.name for column in self.projection.relation.columns]
        return [row[HOTEL.index_of(name)] for name in read]

    def load(self) -> bytes:
        """The document of the row, or why there is none."""
        content = self.projection.load_partly_unreadable(self.row())
        assert content is not None
        return content[1]


def test_what_a_field_can_not_hold_is_null_and_counted() -> None:
    """By field, and only there: the same column is text in another one."""
    said = {"column": "day", "type": "text"}
    read = Read(fields={"day": None, "price": {"default": 0}, "said": said})
    assert orjson.loads(read.load()) == {"day": None, "price": 0, "said": "infinity"}
    assert read.nulled == [("hotels", "day"), ("hotels", "price")]


def test_ordinary_rows_go_the_short_way() -> None:
    """A row without special values needs no conversion, and is not looked at."""
    read = Read(fields={"day": None, "price": None})
    body = read.projection.body_of([b"1", b'"2024-01-01"', b"1.50"])
    assert body == b'{"day":"2024-01-01","price":1.50}'


def test_a_dead_letter_where_asked() -> None:
    """The whole row, with what it was; a field may differ from its projection."""
    fields = {"day": None, "price": {"unrepresentable": "null"}}
    read = Read(fields=fields, unrepresentable="dead_letter")
    said = read_rejection(read.load())
    assert (said.reason, said.explanation) == (
        "unrepresentable_value",
        "field day: infinity is no date",
    )
    assert said.row == {"id": b"1", "day": b'"infinity"', "price": b'"NaN"'}


def test_changes_are_treated_as_loads_are(tmp_path: Path) -> None:
    """The stream gives the same document."""
    read = Read(fields={"day": None, "price": None})
    fold = Fold(tmp_path)
    change = Change(read.projection.relation, ChangeKind.INSERT, read.row(), None, True)  # noqa: FBT003
    read.projection.apply(change, fold)
    assert [body for _, body in fold.drain()] == [b'{"day":null,"price":null}']


def test_computed_dates_are_looked_at_too() -> None:
    """An expression may give an infinite date of a row that has none."""
    field = {"expression": "case when price > 1 then 'infinity'::date else day end"}
    read = Read(fields={"until": field})
    body_of = read.projection.body_of
    assert body_of([b"1", b'"2024-01-01"', b"2"]) == b'{"until":null}'
    assert body_of([b"1", b'"2024-01-01"', b"1"]) == b'{"until":"2024-01-01"}'
    assert body_of([b"1", b"null", b"1"]) == b'{"until":null}'
    assert read.nulled == [("hotels", "until")]


def test_a_converted_field_is_not_the_column_any_more() -> None:
    """A dead letter must not show the one for the other."""
    fields = {"id": None, "place": {"type": "geo_point"}}
    read = Read(fields=fields)
    assert read.load() == b'{"id":1,"place":{"lon":1,"lat":2}}'
    assert read.projection.columns_shown == {"id": "id"}


def test_bytes_by_field() -> None:
    """Hex, base64, and base64 where the type of the field wants it."""
    fields = {
        "hex": {"column": "photo", "bytes": "hex"},
        "other": {"column": "photo", "bytes": "base64"},
        "binary": {"column": "photo", "type": "base64"},
    }
    document = orjson.loads(Read(fields=fields).load())
    assert document == {"hex": r"\xdead", "other": "3q0=", "binary": "3q0="}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"column": "day", "bytes": "hex"}, "`bytes` is for bytea columns"),
        ({"column": "photo", "type": "base64", "bytes": "hex"}, "takes base64 only"),
    ],
)
def test_bytes_that_make_no_sense_are_mistakes(field: dict[str, Any], said: str) -> None:
    """Said with their place."""
    with pytest.raises(
        ConfigurationError, match=rf"f\.yaml:1: projections\.hotels\.fields\.f: .*{said}"
    ):
        Read(fields={"f": field})


def test_another_form_or_policy_makes_another_fingerprint() -> None:
    """Documents would come out anew."""
    configs: list[dict[str, Any]] = [
        {"fields": {"day": None}},
        {"fields": {"day": None}, "unrepresentable": "dead_letter"},
        {"fields": {"day": {"type": "date_nanos"}}},
    ]
    prints = {Read(**config).projection.model.fingerprint for config in configs}
    assert len(prints) == len(configs)
    field = {"fields": {"day": {"unrepresentable": "dead_letter"}}}
    assert Read(**field).projection.model.fingerprint in prints


def test_plain_rows_beside_special_ones_go_the_short_way() -> None:
    """A block of a load may hold both."""
    read = Read(fields={"day": None})
    plain: Row = [b"2", b'"2024-01-01"']
    assert read.projection.load_partly_unreadable(plain) == read.projection.load(plain)
    assert read.load() == b'{"day":null}'
