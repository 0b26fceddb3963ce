"""The compiler: every mistake with its place, and what is compiled of what is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from cdc_daemon.config.models import ProjectionConfig
from cdc_daemon.delivery.fold import Fold
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Generated,
    Protection,
    Relation,
)
from cdc_daemon.projection.compiler import Compiled, compile_projections
from cdc_daemon.projection.hole import is_hole
from cdc_daemon.shapes import shown
from tests.generators.by_hand import INT4, TEXT, table

if TYPE_CHECKING:
    from collections.abc import Mapping

LINES = {"fields": 7, "where": 5, "id": 6, "from": 4}


def locate(*path: str | int) -> str:
    """A line for each key."""
    return f"shop.yaml:{LINES.get(str(path[2]), 3) if len(path) > 2 else 2}"


def compile_all(
    projections: Mapping[str, Mapping[str, Any]], *relations: Relation, **named: Relation
) -> Compiled:
    """Compile projections over tables that are named `schema.name`, or otherwise."""
    parsed = {name: ProjectionConfig.model_validate(one) for name, one in projections.items()}
    tables = {relation.qualified_name: relation for relation in relations} | named
    return compile_projections(parsed, tables, locate)


def hotels(relation: Relation | None = None, **config: Any) -> Compiled:
    """One projection over one table."""
    relation = relation or table("id", "name", "city")
    whole = {"from": relation.qualified_name, "fields": "*"} | config
    return compile_all({"hotels": whole}, relation)


def mistakes(relation: Relation | None = None, **config: Any) -> list[str]:
    """What is said of a configuration that is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        hotels(relation, **config)
    return str(caught.value).splitlines()


def body(compiled: Compiled, *row: bytes) -> Any:
    """The document of a row."""
    return orjson.loads(compiled.projections[0].body_of(list(row)))


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


BASE: dict[str, Any] = {
    "fields": {"id": None, "name": None, "label": {"expression": "name || city"}},
    "where": "city <> 'x'",
}


def fingerprint(relation: Relation | None = None, **changed: Any) -> str:
    """The fingerprint of a variation."""
    return hotels(relation, **(BASE | changed)).projections[0].model.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"freshness": "5s"},
        {"max_document_bytes": "1MB"},
        {"id": ["id"]},
        {"fields": {"name": None, "label": {"expression": "name || city"}, "id": {"column": "id"}}},
    ],
)
def test_the_fingerprint_stays_while_documents_do(changed: dict[str, Any]) -> None:
    """Another freshness, or the same said otherwise, needs no load."""
    assert fingerprint(**changed) == fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"where": "city <> 'y'"},
        {"fields": {**BASE["fields"], "more": {"constant": 1}}},
        {"fields": {**BASE["fields"], "name": {"column": "city"}}},
        {"fields": {**BASE["fields"], "name": {"default": "?"}}},
        {"fields": {**BASE["fields"], "name": {"type": "keyword"}}},
        {"fields": {**BASE["fields"], "label": {"expression": "city || name"}}},
        {"index": {"settings": {"number_of_shards": 2}}},
        {"index": {"mappings": {"dynamic": "true"}}},
    ],
)
def test_the_fingerprint_changes_with_documents_and_index(changed: dict[str, Any]) -> None:
    """Whatever makes another document, or another index, needs another generation."""
    assert fingerprint(**changed) != fingerprint()


def test_the_fingerprint_follows_the_table() -> None:
    """Types of columns that are read, also by `where` only; not of others; nor the table's name."""
    number = ColumnType("numeric", declared="numeric")
    same = table("id", "name", "city", Column("unread", number))
    assert fingerprint(same) == fingerprint()
    longer = Column("city", ColumnType("varchar", modifier=9, declared="character varying(5)"))
    assert fingerprint(table("id", "name", longer)) != fingerprint()
    assert fingerprint(table("id", "name", "city", name="inn")) != fingerprint()
    key = Column("city", TEXT, nullable=False, in_identity=True)
    keyed = Relation("public", "hotel", (*table("id", "name").columns, key), ("id", "city"))
    assert fingerprint(keyed) != fingerprint()


def protection(kind: Any, digest: str = "one") -> Protection:
    """What a source does to a column."""
    return Protection(kind, "text", digest, bytes)


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


def test_the_fingerprint_follows_the_rules_of_the_columns_read() -> None:
    """Another rule makes other documents; one for a column that isn't read changes nothing."""
    one, other = (
        table("id", "name", Column("city", TEXT, protection=protection("masked", digest)))
        for digest in ("one", "other")
    )
    assert len({fingerprint(), fingerprint(one), fingerprint(other)}) == 3
    unread = Column("unread", TEXT, protection=protection("masked"))
    assert fingerprint(table("id", "name", "city", unread)) == fingerprint()
