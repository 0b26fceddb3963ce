"""The compiler: every mistake with its place, and what is compiled of what is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_daemon.events import (
    Column,
    ColumnType,
    Relation,
)
from tests.generators.by_hand import INT4, TEXT, table
from tests.generators.compiling import body, compile_all, hotels, mistakes


def test_every_mistake_is_said_with_file_line_and_the_nearest_name() -> None:
    """All at once: columns of fields, expressions, where and id."""
    said = mistakes(
        fields={"nam": None, "label": {"expression": "nope || 'x'"}, "far": {"column": "qqqq"}},
        where="citty = 'x'",
        id=["idd"],
    )
    assert len(said) == 5
    assert said[0] == (
        "shop.yaml:7: projections.hotels.fields.nam: table public.hotel has no column nam; did you "
        "mean name?"
    )
    assert said[1].startswith("shop.yaml:7: projections.hotels.fields.label.expression: ")
    assert said[1].endswith("(in: nope || 'x')")
    assert said[2].endswith("has no column qqqq")
    assert said[3].startswith("shop.yaml:5: projections.hotels.where: ")
    assert said[4].endswith("has no column idd; did you mean id?")
    assert said[4].startswith("shop.yaml:6: projections.hotels.id: ")


@pytest.mark.parametrize("kind", ["view", "materialized view", "foreign table"])
def test_what_is_not_streamed_is_refused(kind: Any) -> None:
    """A view has no changes."""
    relation = Relation("public", "hotel", table("id").columns, ("id",), kind=kind)
    (said,) = mistakes(relation)
    assert said.startswith(f"shop.yaml:4: projections.hotels.from: public.hotel is a {kind}")


def test_a_table_without_a_key_needs_an_id() -> None:
    """It says where to name the columns."""
    (said,) = mistakes(table("id", "name", key=()))
    assert "no primary key" in said
    assert "`id`" in said


def test_without_a_key_the_id_needs_a_unique_index() -> None:
    """Or two rows would share a document; one that is deferrable holds only at a commit."""
    relation = table("id", "name", "city", key=(), identity="full")
    relation = replace(relation, unique_keys=(("city",), ("name", "id")))
    (said,) = mistakes(relation, id=["city"])
    assert said.startswith("shop.yaml:6: projections.hotels.id: ")
    assert "create unique index on public.hotel (city)" in said
    assert "deferrable" in said
    unique = replace(relation, immediate_keys=(("name", "id"),))
    assert hotels(unique, id=["id", "name"]).projections[0].id_of([b"1", b'"n"', b'"c"'])


def test_the_id_must_hold_the_whole_key() -> None:
    """Or two rows would share a document."""
    relation = table("id", "name", "part", key=("id", "part"))
    (said,) = mistakes(relation, id=["id"])
    assert "add part" in said


def test_the_id_must_be_sent_of_deleted_rows() -> None:
    """A column outside of the replica identity is not; identity full sends all."""
    (said,) = mistakes(id=["id", "city"])
    assert "city is not sent" in said
    assert "replica identity full" in said
    relation = table("id", "name", "city", identity="full")
    assert hotels(relation, id=["id", "city"]).projections[0].id_of([b"1", b'"n"', b'"c"'])


def test_an_id_of_the_replica_identity_index_needs_no_primary_key() -> None:
    """Its columns are a key too; the primary key is not sent then."""
    columns = (
        Column("id", INT4, nullable=False),
        Column("code", TEXT, nullable=False, in_identity=True),
    )
    relation = Relation("public", "hotel", columns, ("id",), "index")
    compiled = hotels(relation, id=["code"])
    assert compiled.projections[0].id_of([b"1", b'"c"']) == b'"c"'
    (said,) = mistakes(relation)
    assert "id is not sent" in said


def test_a_type_that_makes_no_id_is_refused() -> None:
    """Its text can't be had back."""
    json = Column("id", ColumnType("json", declared="json"), nullable=False, in_identity=True)
    (said,) = mistakes(table(json, "name"))
    assert "column id:" in said
    assert "json" in said


def test_composite_keys_are_joined() -> None:
    """In the order of the key, whatever the order of the columns."""
    relation = table("b", "a", "name", key=("a", "b"))
    assert hotels(relation).projections[0].id_of([b"1", b"2", b'"x"']) == b'"2|1"'


def test_an_id_may_be_a_template() -> None:
    """Around one column nothing is escaped; of several, what ends them is: no two keys share it."""
    one = hotels(id="hotel-{id}-x").projections[0]
    assert one.id_of([b"1", b'"n"', b'"c"']) == b'"hotel-1-x"'
    relation = table("a", "b", "name", key=("a", "b"))
    relation = replace(relation, columns=tuple(replace(c, type=TEXT) for c in relation.columns))
    both = hotels(relation, id="{a}-{b}").projections[0]
    assert both.id_of([b'"x-y"', b'"z"', b"1"]) == rb'''"x\\-y-z"'''
    assert both.id_of([b'"x"', rb'''"y-\\z"''', b"1"]) == rb'''"x-y-\\\\z"'''
    assert one.model.fingerprint != hotels().projections[0].model.fingerprint


def test_fields_come_from_columns_expressions_and_constants() -> None:
    """Renamed, computed, constant, with a default for NULL; a `%` is only a `%`."""
    compiled = hotels(
        fields={
            "100%": {"column": "name", "default": "5 %s"},
            "label": {"expression": "name || ', ' || city", "default": "none"},
            "kind": {"constant": {"a %d": ["%", None]}},
            "nothing": {"constant": None},
        }
    )
    assert body(compiled, b"1", b'"n%"', b'"c"') == {
        "100%": "n%",
        "label": "n%, c",
        "kind": {"a %d": ["%", None]},
        "nothing": None,
    }
    assert body(compiled, b"1", b"null", b'"c"')["100%"] == "5 %s"
    assert body(compiled, b"1", b"null", b'"c"')["label"] == "none"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"a%": {"constant": "b%%"}}, {"a%": "b%%"}),
        ({"n%d": {"column": "name"}}, {"n%d": "x%y"}),
        ({"c": {"constant": 1}, "name": None}, {"c": 1, "name": "x%y"}),
    ],
)
def test_small_documents(fields: Any, expected: Any) -> None:
    """No column, one column, one and a constant: each has its own fast way."""
    compiled = hotels(fields=fields)
    place = [column.name for column in compiled.relations[0].columns]
    row = [b"1" if name == "id" else b'"x%y"' for name in place]
    assert body(compiled, *row) == expected


def test_projections_over_one_table_share_a_relation_of_what_both_read() -> None:
    """Only the columns that any of them reads are decoded, once."""
    relation = table("id", "name", "city", "unread", "state")
    compiled = compile_all(
        {
            "one": {"from": "public.hotel", "fields": {"name": None}, "where": "state = 'x'"},
            "two": {"from": "public.hotel", "fields": {"l": {"expression": "upper(city)"}}},
        },
        relation,
    )
    (shared,) = compiled.relations
    assert [column.name for column in shared.columns] == ["id", "name", "city", "state"]
    assert all(one.relation is shared for one in compiled.projections)
    row = [b"1", b'"n"', b'"c"', b'"x"']
    assert [one.document(list(row)) for one in compiled.projections] == [
        b'{"name":"n"}',
        b'{"l":"C"}',
    ]


def test_a_table_under_two_names_is_one_relation() -> None:
    """`hotel` and `public.hotel`: the stream knows one of them, so both follow that."""
    compiled = compile_all(
        {
            "one": {"from": "public.hotel", "fields": {"name": None}},
            "two": {"from": "hotel", "fields": {"city": None}},
        },
        table("id", "name", "city"),
        hotel=table("id", "name", "city"),
    )
    (shared,) = compiled.relations
    assert all(one.relation is shared for one in compiled.projections)
