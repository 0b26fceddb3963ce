"""Columns that are generated, protected or excluded, as mappings see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc_daemon.delivery.fold import Fold
from cdc_daemon.events import UNCHANGED, Change, ChangeKind, Column, Generated, Relation
from cdc_daemon.projection.hole import is_hole
from cdc_daemon.shapes import shown
from tests.generators.by_hand import TEXT, table
from tests.generators.compiling import body, hotels, mistakes, protection


def with_computed(expression: str = "upper(name)", *inputs: str) -> Relation:
    """A table with a generated column that the source doesn't stream."""
    how = Generated(expression, inputs or ("name",))
    return replace(table("id", "name", "city"), computed=(Column("loud", TEXT, generated=how),))


def test_generated_columns_that_are_not_streamed_are_computed() -> None:
    """In all columns, by name, in conditions and expressions; rows have only their inputs."""
    everything = hotels(with_computed())
    assert body(everything, b"1", b'"a"', b'"c"') == {
        "id": 1,
        "name": "a",
        "city": "c",
        "loud": "A",
    }
    named = hotels(
        with_computed(),
        where="loud <> 'X'",
        fields={"shown": {"column": "loud"}, "louder": {"expression": "loud || '!'"}},
    )
    assert [column.name for column in named.relations[0].columns] == ["id", "name"]
    assert body(named, b"1", b'"a"') == {"shown": "A", "louder": "A!"}
    includes = named.projections[0].includes
    assert includes is not None
    assert [includes([b"1", name]) for name in (b'"x"', b'"a"')] == [False, True]


def test_what_can_not_be_computed_is_refused_by_name() -> None:
    """With its expression, why, and what to do; a line for the field, or for all of them."""
    (said,) = mistakes(with_computed("to_tsvector('english'::regconfig, name)"))
    assert said.startswith(
        "shop.yaml:7: projections.hotels.fields: column loud of table public.hotel is generated"
    )
    assert "to_tsvector" in said
    assert "`exclude: true`" in said
    (said,) = mistakes(with_computed("nope(name)"), fields={"loud": None})
    assert said.startswith("shop.yaml:7: projections.hotels.fields.loud: ")
    (said,) = mistakes(with_computed("", "name", "city"))
    assert "partitions of the table generate it in other ways" in said


def test_no_id_is_made_of_a_column_that_is_computed() -> None:
    """It is in no deleted row."""
    (said,) = mistakes(with_computed(), id=["id", "loud"], fields={"id": None})
    assert said == (
        "shop.yaml:6: projections.hotels.id: column loud of table public.hotel is generated, and "
        "the source does not stream it: take another column (PostgreSQL 18 streams those that are "
        "stored)"
    )


def test_another_generation_expression_is_another_mapping() -> None:
    """Also of a column that is streamed; one whose inputs nobody reads is no matter."""

    def fingerprint(relation: Relation, **config: Any) -> tuple[str, dict[str, str]]:
        model = hotels(relation, **config).projections[0].model
        return model.fingerprint, model.digests

    computed = [fingerprint(with_computed(f"{name}(name)")) for name in ("upper", "lower")]
    assert computed[0] != computed[1]
    plain = {"fields": {"id": None}}
    others = [fingerprint(with_computed(f"{one}(name)"), **plain) for one in ("upper", "lower")]
    assert others[0] == others[1]
    how = [Generated(expression, ("name",)) for expression in ("upper(name)", "lower(name)")]
    streamed = [table("id", "name", Column("loud", TEXT, generated=each)) for each in how]
    assert fingerprint(streamed[0]) != fingerprint(streamed[1])
    where = [
        fingerprint(with_computed(f"{one}(name)"), where="loud > 'a'")[0]
        for one in ("upper", "lower")
    ]
    assert where[0] != where[1]


def test_a_generated_column_that_nothing_shows_is_no_matter() -> None:
    """Though all that it is made of is read: it may come, change and go."""
    named = {"fields": {"name": None}, "where": "name <> ''"}
    streamed = table("id", "name", Column("loud", TEXT, generated=Generated("x", ("name",))))
    without = hotels(table("id", "name"), **named)
    for relation in (with_computed(), streamed):
        compiled = hotels(relation, **named)
        assert compiled.projections[0].model.fingerprint == without.projections[0].model.fingerprint
        assert shown(compiled.relations[0]) == ["id", "name"]
    for reading in ({"where": "loud <> ''"}, {"fields": {"l": {"expression": "loud || ''"}}}):
        assert "loud" in shown(hotels(with_computed(), **(named | reading)).relations[0])


def test_an_input_that_was_not_sent_leaves_a_hole() -> None:
    """As it does in any expression."""
    compiled = hotels(with_computed(), fields={"loud": None})
    fold = Fold(Path())
    change = Change(compiled.relations[0], ChangeKind.UPDATE, [b"1", UNCHANGED], has_unchanged=True)
    compiled.projections[0].apply(change, fold)
    [(_, content)] = fold.drain()
    assert is_hole(content)


def test_an_excluded_column_does_not_exist_for_the_mapping() -> None:
    """`"*"` leaves it out; naming it anywhere is a mistake that says why."""
    relation = replace(table("id", "name"), excluded=("password",))
    assert body(hotels(relation), b"1", b'"n"') == {"id": 1, "name": "n"}
    said = mistakes(
        relation,
        fields={"password": None, "label": {"expression": "hotel.password || 'x'"}},
        where="password is null",
        id=["password"],
    )
    assert [line.partition(": ")[0] for line in said] == [f"shop.yaml:{n}" for n in (7, 7, 5, 6)]
    why = "column password of table public.hotel is excluded by the `source` section"
    assert all(why in line for line in said)


def test_a_key_that_is_excluded_makes_no_id() -> None:
    """The primary key is named by nobody, and still it says why."""
    relation = Relation("public", "hotel", table("name").columns, ("id",), excluded=("id",))
    (said,) = mistakes(relation)
    assert said.startswith("shop.yaml:4: projections.hotels.from: column id of table public.hotel")
    assert "excluded" in said


@pytest.mark.parametrize("kind", ["masked", "truncated"])
def test_rows_whose_keys_look_alike_make_no_id(kind: str) -> None:
    """They would share a document; in a field such a column is welcome."""
    key = Column("id", TEXT, nullable=False, in_identity=True, protection=protection(kind))
    (said,) = mistakes(table(key, "name"))
    assert f"column id is {kind} by the `source` section" in said
    assert "two rows would share a document" in said
    shown = Column("name", TEXT, protection=protection(kind))
    assert body(hotels(table("id", shown)), b"1", b'"***"') == {"id": 1, "name": "***"}


def test_a_hashed_key_is_an_id() -> None:
    """Two keys have two digests."""
    key = Column("id", TEXT, nullable=False, in_identity=True, protection=protection("hashed"))
    assert hotels(table(key, "name")).projections[0].id_of([b'"abc"', b'"n"']) == b'"abc"'
