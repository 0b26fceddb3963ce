"""Types as the catalog has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from cdc_daemon.errors import SourceError
from cdc_daemon.ports import TableRequest
from cdc_daemon.values import json_encoder
from connectors.postgres.catalog import describe
from connectors.postgres.catalog_types import load_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import ColumnType

Connection = psycopg.Connection[tuple[Any, ...]]


class Database(Protocol):
    """What the fixture `database` gives."""

    @property
    def dsn(self) -> str:
        """How to connect."""


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A connection to a fresh database."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        yield connection


def load(connection: Connection, sql: str) -> ColumnType:
    """The type that `sql` names."""
    row = connection.execute(f"select '{sql}'::regtype::oid").fetchone()
    assert row is not None
    return load_types(connection, [row[0]])[row[0]]


def test_types_are_resolved_as_far_down_as_they_go(connection: Connection) -> None:
    """Arrays, domains, composites and enums nest; modifiers and declarations come along."""
    connection.execute("create type mood as enum ('sad', 'ok')")
    connection.execute("alter type mood add value 'meh' before 'ok'")
    connection.execute("create domain code as varchar(20)")
    connection.execute("create type thing as (gone int, m mood[], c code, n numeric(9,2)[])")
    connection.execute("alter type thing drop attribute gone")
    found = load(connection, "thing[]")
    assert found.kind == "array"
    assert found.element is not None
    thing = found.element
    assert (thing.name, thing.kind) == ("thing", "composite")
    attributes = dict(thing.attributes)
    assert list(attributes) == ["m", "c", "n"]
    moods, code, numbers = attributes.values()
    assert moods.element is not None
    assert moods.element.labels == ("sad", "meh", "ok")
    assert (code.kind, code.base.name, code.base.modifier) == ("domain", "varchar", 24)
    assert code.base.declared == "character varying(20)"
    assert numbers.declared == "numeric(9,2)[]"
    assert numbers.element is not None
    assert numbers.element.declared == "numeric(9,2)"


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("int2vector", ["base"]),
        ("point", ["base"]),
        ("name", ["base"]),
        ("box[]", ["array", "base"]),
        ("int2vector[]", ["array", "base"]),
        ("tstzrange", ["range", "base"]),
        ("int4multirange", ["multirange", "range", "base"]),
    ],
)
def test_what_looks_like_an_array_is_told_from_one(
    connection: Connection, sql: str, kinds: list[str]
) -> None:
    """`typelem` alone doesn't make an array: points and vectors have one too."""
    found: ColumnType | None = load(connection, sql)
    seen = []
    while found is not None:
        seen.append(found.kind)
        found = found.element
    assert seen == kinds


def test_a_type_that_is_gone_is_named(connection: Connection) -> None:
    """The oid is all there is to say."""
    with pytest.raises(SourceError, match="4294967295"):
        load_types(connection, [23, 4294967295])


def test_no_types_need_no_query(connection: Connection) -> None:
    """A publication may have no tables yet."""
    assert load_types(connection, []) == {}


OF_COLONS = """
create type dotted;
create function dotted_in(cstring) returns dotted language internal immutable strict as 'textin';
create function dotted_out(dotted) returns cstring language internal immutable strict as 'textout';
create type dotted (input = dotted_in, output = dotted_out, like = text, delimiter = ':');
create domain dots as dotted;
"""


@pytest.mark.parametrize(("sql", "between"), [("box", ";"), ("dotted", ":"), ("dots", ":")])
def test_arrays_of_types_with_a_delimiter_of_their_own(
    connection: Connection, sql: str, between: str
) -> None:
    """PostgreSQL's box has one, and so have types of extensions (PostGIS)."""
    connection.execute(OF_COLONS)
    found = load(connection, f"{sql}[]")
    assert found.element is not None
    assert found.element.delimiter == between
    values = ["(3,4),(1,2)", "(1,1),(0,0)"]
    text = "{" + between.join(f'"{value}"' for value in values) + "}"
    row = connection.execute(f"select ('{text}'::{sql}[])::text").fetchone()
    assert row is not None
    encode = json_encoder(found)
    assert encode is not None
    assert json.loads(encode(str(row[0]).encode())) == values


def test_equal_by_text_is_what_no_collation_takes_for_one(connection: Connection) -> None:
    """A nondeterministic collation is seen through a domain as well."""
    connection.execute("create collation any_case (provider = libc, locale = 'C')")
    # By itself it can be no other than ICU's, which not every server has.
    connection.execute("set allow_system_table_mods = on")
    connection.execute(
        "update pg_collation set collisdeterministic = false where collname = 'any_case'"
    )
    connection.execute("create domain code as text collate any_case")
    connection.execute("create type span as range (subtype = text, collation = any_case)")
    connection.execute("create domain gap as span")
    connection.execute(
        'create table item (id int primary key, a text, b text collate "C", c varchar(9) collate '
        "any_case, d code, e text[] collate any_case, f code[], g span, h span[], i gap, "
        "j span_multirange, k text[], l int4range, m numeric[], n inet)"
    )
    (item,) = describe(connection, [TableRequest("item")])
    found = [column.name for column in item.columns if column.equal_by_text]
    assert found == ["id", "a", "b", "k", "l", "m", "n"]
