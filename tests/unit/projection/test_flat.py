"""A flat projection: what each change makes of the documents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.delivery.fold import Fold
from cdc_daemon.errors import StopError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Relation,
    Row,
    Unreadable,
)
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.hole import hole, is_hole, read_key
from cdc_daemon.projection.rejection import read_rejection
from tests.generators.by_hand import table

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.events import ReplicaIdentity
    from cdc_daemon.projection.flat import FlatProjection

NUMERIC = ColumnType("numeric", declared="numeric")
INSERT, UPDATE, DELETE, TRUNCATE = ChangeKind


def compiled(relation: Relation, **config: Any) -> FlatProjection:
    """The only projection over a table."""
    config = {"from": relation.qualified_name, "fields": "*"} | config
    parsed = {"hotels": ProjectionConfig.model_validate(config)}
    named = {relation.qualified_name: relation}
    return compile_projections(parsed, named, lambda *_: "f.yaml:1").projections[0]


def hotels(identity: ReplicaIdentity = "default", **config: Any) -> FlatProjection:
    """A projection over `hotel (id, status, name)`."""
    return compiled(table("id", "status", "name", identity=identity), **config)


def row(number: int, name: str | None = "x", status: str = "open") -> Row:
    """A row of `hotel`."""
    return [b"%d" % number, orjson.dumps(status), orjson.dumps(name)]


class Transaction:
    """Changes of one table, and what they fold to."""

    def __init__(self, projection: FlatProjection, folder: Path) -> None:
        self._projection = projection
        self.fold = Fold(folder)

    def apply(self, kind: ChangeKind, new: Row | None = None, old: Row | None = None) -> None:
        """One change."""
        unchanged = any(not isinstance(value, bytes) for value in [*(new or []), *(old or [])])
        self._projection.apply(
            Change(self._projection.relation, kind, new, old, unchanged), self.fold
        )

    def result(self) -> dict[str, Any]:
        """Id to name; None where the document is deleted; the reason where it is rejected."""
        return {orjson.loads(key): _seen(body) for key, body in self.fold.drain()}


def _seen(body: bytes | None) -> Any:
    if body is None:
        return None
    if body[:1] == b"!":
        return read_rejection(body).reason
    return orjson.loads(body).get("name")


def test_insert_update_and_delete(tmp_path: Path) -> None:
    """A row is its document; the last state counts."""
    transaction = Transaction(hotels(), tmp_path)
    transaction.apply(INSERT, row(1, "a"))
    transaction.apply(INSERT, row(2, "b"))
    transaction.apply(UPDATE, row(1, "c"))
    transaction.apply(DELETE, old=row(2, None))
    assert transaction.result() == {"1": "c", "2": None}


def test_a_key_that_changes_leaves_no_document_behind(tmp_path: Path) -> None:
    """The document moves to its new id."""
    transaction = Transaction(hotels(), tmp_path)
    transaction.apply(UPDATE, row(2, "a"), old=row(1, None))
    assert transaction.result() == {"1": None, "2": "a"}


@pytest.mark.parametrize("spilling", [False, True])
def test_keys_swapped_in_one_transaction(tmp_path: Path, *, spilling: bool) -> None:
    """Both rows are under the other's id, on the way through a third, spilled or not."""
    transaction = Transaction(hotels(), tmp_path)
    for new, old in (((9, "one"), 1), ((1, "two"), 2), ((2, "one"), 9)):
        transaction.apply(UPDATE, row(*new), old=row(old, None))
        if spilling:
            transaction.fold.spill()
    assert transaction.result() == {"1": "two", "2": "one", "9": None}


def test_a_delete_and_an_insert_of_one_id_leave_the_new_row(tmp_path: Path) -> None:
    """As a move between partitions is streamed."""
    transaction = Transaction(hotels(), tmp_path)
    transaction.apply(DELETE, old=row(1, None))
    transaction.apply(INSERT, row(1, "new"))
    assert transaction.result() == {"1": "new"}


def test_a_truncate_forgets_what_was_before_it_only(tmp_path: Path) -> None:
    """Rows of the same transaction after it come after it."""
    transaction = Transaction(hotels(), tmp_path)
    transaction.apply(INSERT, row(1))
    transaction.apply(TRUNCATE)
    transaction.apply(INSERT, row(2, "b"))
    assert transaction.fold.truncated
    assert transaction.result() == {"2": "b"}


def test_a_row_enters_and_leaves_where(tmp_path: Path) -> None:
    """Outside of `where` there is no document; NULL is outside."""
    transaction = Transaction(hotels(where="status <> 'draft'"), tmp_path)
    transaction.apply(INSERT, row(1, "in"))
    transaction.apply(INSERT, row(2, "out", "draft"))
    transaction.apply(UPDATE, row(3, "entered"))
    transaction.apply(UPDATE, row(4, "left", "draft"))
    transaction.apply(UPDATE, [b"5", b"null", b'"null"'])
    transaction.apply(UPDATE, row(7, "moved out", "draft"), old=row(6, None))
    expected = {"1": "in", "3": "entered", "4": None, "5": None, "6": None, "7": None}
    assert transaction.result() == expected


def test_a_row_that_can_not_be_a_document_is_rejected_and_its_neighbours_go_on(
    tmp_path: Path,
) -> None:
    """Too large, or an expression that fails; a later good state of the row replaces it."""
    fields = {"name": None, "status": None, "inverse": {"expression": "1 / (id - 3)"}}
    transaction = Transaction(hotels(fields=fields, max_document_bytes=60), tmp_path)
    transaction.apply(INSERT, row(1, "x" * 60))
    transaction.apply(INSERT, row(2, "fine"))
    transaction.apply(INSERT, row(3, "fails"))
    transaction.apply(INSERT, row(4, "x" * 60))
    transaction.apply(UPDATE, row(4, "shorter"))
    result = transaction.result()
    assert result["1"] == "document_too_large"
    assert result["2"] == "fine"
    assert result["3"] == "division_by_zero"
    assert result["4"] == "shorter"


def test_a_rejected_row_that_moved_leaves_no_document_behind(tmp_path: Path) -> None:
    """The old id is empty though the new row is a dead letter."""
    transaction = Transaction(hotels(max_document_bytes=60), tmp_path)
    transaction.apply(UPDATE, row(2, "x" * 60), old=row(1, None))
    assert transaction.result() == {"1": None, "2": "document_too_large"}


def numeric_key() -> FlatProjection:
    """A table whose key can be NaN, which no document id can be made of."""
    key = Column("id", NUMERIC, nullable=False, in_identity=True)
    return compiled(table(key, "status", "name"))


def test_a_row_without_an_id_is_rejected_and_its_delete_is_nothing(tmp_path: Path) -> None:
    """It never had a document: deleting it, or giving it an id, must not end the reader."""
    transaction = Transaction(numeric_key(), tmp_path)
    transaction.apply(DELETE, old=[b"null", b"null", b"null"])
    assert transaction.result() == {}
    transaction.apply(UPDATE, row(7, "has one now"), old=[b"null", b"null", b"null"])
    assert transaction.result() == {"7": "has one now"}


def test_a_row_that_loses_its_id_leaves_no_document_behind(tmp_path: Path) -> None:
    """What was found under the old id is gone, and the row is a dead letter."""
    transaction = Transaction(numeric_key(), tmp_path)
    transaction.apply(UPDATE, [b"null", b'"open"', b'"x"'], old=row(7, None))
    result = transaction.result()
    assert result.pop("7") is None
    ((key, reason),) = result.items()
    assert key.startswith("row without id ")
    assert reason == "null_id"


def test_a_value_that_was_not_sent_leaves_a_hole(tmp_path: Path) -> None:
    """Never a placeholder: the row is read by its key."""
    transaction = Transaction(hotels(), tmp_path)
    transaction.apply(UPDATE, [b"1", b'"open"', UNCHANGED])
    ((document_id, content),) = transaction.fold.drain()
    assert document_id == b'"1"'
    assert content is not None
    assert is_hole(content)
    assert read_key(content) == ("1",)


def test_a_value_that_nobody_can_read_rejects_its_row(tmp_path: Path) -> None:
    """Where rows are only what messages have said: the document stays as it was."""
    transaction = Transaction(
        compiled(replace(table("id", "status", "name"), has_rows=False)), tmp_path
    )
    transaction.apply(UPDATE, [b"1", b'"open"', UNCHANGED])
    ((document_id, content),) = transaction.fold.drain()
    assert document_id == b'"1"'
    assert content is not None
    said = read_rejection(content)
    assert said.reason == "value_left_out"
    assert "replica identity full" in said.explanation


def test_a_protected_key_cannot_be_read_by(tmp_path: Path) -> None:
    """The table holds another value: it stops, and says what to do."""
    transaction = Transaction(replace(hotels(), key=()), tmp_path)
    with pytest.raises(StopError, match=r"update of public\.hotel left out.*identity full"):
        transaction.apply(UPDATE, [b"1", b'"open"', UNCHANGED])


@pytest.mark.parametrize(
    ("type_", "values", "key"),
    [
        ("text", [b'"a"'], ("a",)),
        ("text", [b"12", b'"a,\\"b\\\\"', b"1.50"], ("12", 'a,"b\\', "1.50")),
        ("int8", [b"123456789012345678901234567890"], ("123456789012345678901234567890",)),
        ("bool", [b"12", b"true"], ("12", "true")),
        ("jsonb", [b'"a"', b'[1,{"b": 2}]', b"1.50"], ('"a"', '[1,{"b": 2}]', "1.50")),
    ],
)
def test_a_hole_keeps_the_key_as_it_is_written(
    type_: str, values: list[bytes], key: tuple[str, ...]
) -> None:
    """Every digit, and every letter; jsonb as JSON."""
    column = Column("k", ColumnType(type_))
    assert read_key(hole([(column, value) for value in values])) == key


def test_a_value_that_was_not_sent_and_is_not_read_is_no_matter(tmp_path: Path) -> None:
    """Another projection over the table reads it; this one doesn't."""
    relation = table("id", "status", "name")
    config = {
        "hotels": {"from": "public.hotel", "fields": "*"},
        "states": {"from": "public.hotel", "fields": {"status": None}},
    }
    parsed = {name: ProjectionConfig.model_validate(one) for name, one in config.items()}
    both = compile_projections(parsed, {"public.hotel": relation}, lambda *_: "f.yaml:1")
    assert len(both.relations) == 1
    transaction = Transaction(both.projections[1], tmp_path)
    transaction.apply(UPDATE, [b"1", b'"open"', UNCHANGED])
    assert list(transaction.fold.drain()) == [(b'"1"', b'{"status":"open"}')]


def test_replica_identity_full_fills_in_what_was_not_sent(tmp_path: Path) -> None:
    """The old row has the value."""
    transaction = Transaction(hotels("full"), tmp_path)
    transaction.apply(UPDATE, [b"1", b'"open"', UNCHANGED], old=row(1, "kept"))
    assert transaction.result() == {"1": "kept"}


def test_existing_rows_are_loaded_as_they_are_streamed() -> None:
    """Same id and document, `where` applied, a rejection where it can't be one."""
    projection = hotels(where="status = 'open'", max_document_bytes=60)
    assert projection.load(row(1, "a")) == (b'"1"', b'{"id":1,"status":"open","name":"a"}')
    assert projection.load(row(2, "a", "draft")) is None
    loaded = projection.load(row(3, "x" * 60))
    assert loaded is not None
    assert (loaded[0], read_rejection(loaded[1]).reason) == (b'"3"', "document_too_large")


BROKEN = Unreadable("not_utf8", "a text value is not UTF-8", b"x\xff")


def test_a_value_that_can_not_be_read_rejects_its_row_where_it_is_read(tmp_path: Path) -> None:
    """The dead letter shows the row; the old id is empty; its neighbours go on."""
    transaction = Transaction(hotels(), tmp_path)
    transaction.apply(INSERT, row(1, "fine"))
    transaction.apply(UPDATE, [b"3", b'"open"', BROKEN], old=row(2, None))
    contents = dict(transaction.fold.drain())
    said = read_rejection(contents.pop(b'"3"') or b"")
    assert contents == {b'"1"': b'{"id":1,"status":"open","name":"fine"}', b'"2"': None}
    assert (said.reason, said.explanation) == ("not_utf8", f"column name: {BROKEN.explanation}")
    assert said.row == {"id": b"3", "status": b'"open"', "name": '"x\ufffd"'.encode()}


def test_a_value_that_can_not_be_read_is_no_matter_to_who_does_not_read_it(tmp_path: Path) -> None:
    """Of two projections over a table only one rejects the row."""
    relation = table("id", "status", "name")
    config = {
        "hotels": {"from": "public.hotel", "fields": "*"},
        "states": {"from": "public.hotel", "fields": {"status": None}},
    }
    parsed = {name: ProjectionConfig.model_validate(one) for name, one in config.items()}
    both = compile_projections(parsed, {"public.hotel": relation}, lambda *_: "f.yaml:1")
    whole, states = (Transaction(each, tmp_path) for each in both.projections)
    for transaction in (whole, states):
        transaction.apply(UPDATE, [b"1", b'"open"', BROKEN])
    assert whole.result() == {"1": "not_utf8"}
    assert list(states.fold.drain()) == [(b'"1"', b'{"status":"open"}')]


def test_old_values_that_can_not_be_read(tmp_path: Path) -> None:
    """They matter where they fill in what was not sent, and as an id they had no document."""
    transaction = Transaction(hotels("full"), tmp_path)
    transaction.apply(UPDATE, [b"1", b'"open"', b'"mended"'], old=[b"1", b'"open"', BROKEN])
    transaction.apply(UPDATE, [b"2", b'"open"', UNCHANGED], old=[b"2", b'"open"', BROKEN])
    transaction.apply(DELETE, old=[b"3", BROKEN, BROKEN])
    transaction.apply(DELETE, old=[BROKEN, b'"open"', BROKEN])
    assert transaction.result() == {"1": "mended", "2": "not_utf8", "3": None}


def test_rows_without_a_readable_id_are_dead_letters_of_their_own(tmp_path: Path) -> None:
    """Two rows that differ only in what can't be read are two."""
    text_key = Column("id", ColumnType("text", declared="text"), nullable=False, in_identity=True)
    transaction = Transaction(compiled(table(text_key, "status", "name")), tmp_path)
    for raw in (b"\xfe", b"\xff"):
        transaction.apply(INSERT, [Unreadable("not_utf8", "no", raw), b'"open"', b'"x"'])
    assert list(transaction.result().values()) == ["not_utf8", "not_utf8"]


def test_existing_rows_that_can_not_be_read_are_dead_letters() -> None:
    """The others of their block are loaded."""
    projection = hotels()
    loaded = projection.load_partly_unreadable([b"1", b'"open"', BROKEN])
    assert loaded is not None
    assert (loaded[0], read_rejection(loaded[1]).reason) == (b'"1"', "not_utf8")
    assert projection.load_partly_unreadable(row(2)) == projection.load(row(2))
