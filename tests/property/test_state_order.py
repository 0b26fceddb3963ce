"""The order of the state's indexes, with a real server's ORDER BY as the oracle.

PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

from cdc_daemon.events import Change, ChangeKind, Column, Position, Relation, Value
from cdc_daemon.state import Deaf, IndexWanted, Part, Staged, Wanted
from cdc_daemon.state.ordering import key_encoder, order_encoder
from cdc_daemon.values import SESSION_SETTINGS, SpecialValueError, watched_encoder
from connectors.postgres.catalog_types import load_types
from tests.generators.budget import rounds, seeded
from tests.generators.pg_scalars import SCALARS
from tests.generators.pg_values import literal
from tests.generators.states import new_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from cdc_daemon.events import ColumnType
    from tests.conftest import Database

Connection = psycopg.Connection[tuple[Any, ...]]

ORDERED = (
    *("bool", "int2", "int4", "int8", "oid", "numeric", "float4", "float8", "text", "varchar"),
    *("bpchar", "name", "bytea", "date", "time", "timestamp", "timestamptz", "interval", "uuid"),
    *("inet", "cidr", "macaddr", "macaddr8", "bit", "varbit"),
)
COLLATED = {"text", "varchar", "bpchar", "name"}
NEAR = {
    "numeric": (
        "0",
        "-0.0",
        "0.1",
        "0.10",
        "0.01",
        "1",
        "10",
        "9.99",
        "-1",
        "-1.0",
        "-1.01",
        "100",
    ),
    "float8": ("0", "-0", "1e-300", "-1e-300", "1e300", "Infinity", "-Infinity", "NaN"),
    "text": ("", "a", "aa", "a\x01", "a b", "ab", "é", "Z", "\U0001f3e8", "\uffff"),
    "bpchar": ("", "a", "a  ", "a b", "a\t", "b"),
    "bytea": (r"\x", r"\x00", r"\x0000", r"\x00ff", r"\x01", r"\xff", r"\xff00"),
    "varbit": ("", "0", "00", "1", "10", "100", "01", "11111111", "111111110"),
    "interval": ("1 mon", "30 days", "29 days 24:00:00", "-1 mon", "-30 days", "1 mon 1 us"),
    "inet": (
        "10.0.0.0/8",
        "10.0.0.0/16",
        "10.0.0.1/8",
        "10.0.0.0",
        "10.1.0.0/16",
        "9.0.0.0/4",
        "::/0",
    ),
}
VALUES = 60
LONG = 10_000


class Sorted(NamedTuple):
    """A value as the stream has it, and the server's rank among the others: equal ones share it."""

    value: Value
    rank: int


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A session with the settings of the daemon's."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        for name, value in SESSION_SETTINGS.items():
            opened.execute("select set_config(%s, %s, false)", [name, value])
        yield opened


def resolve(connection: Connection, sql: str) -> ColumnType:
    """The type of that name."""
    row = connection.execute(f"select {literal(sql)}::regtype::oid").fetchone()
    assert row is not None
    return load_types(connection, [row[0]])[row[0]]


def encoded(type_: ColumnType, output: bytes | None) -> Value:
    """The value as the stream would bring it."""
    if output is None:
        return b"null"
    try:
        return (watched_encoder(type_) or bytes)(output)
    except SpecialValueError as error:
        return error.value


def ranked(connection: Connection, sql: str, type_: ColumnType, texts: list[str]) -> list[Sorted]:
    """What the server makes of texts, in its order; those that it doesn't take are left out."""
    connection.execute(f"create temporary table v (v {sql})")
    for value in texts:
        try:
            connection.execute(f"insert into v values (cast({literal(value)} as {sql}))")
        except psycopg.DataError:
            continue
    collate = ' collate "C"' if sql in COLLATED else ""
    query = f"select v, dense_rank() over (order by v{collate}) from v order by 2"
    result = connection.pgconn.exec_(query.encode())
    connection.execute("drop table v")
    return [
        Sorted(encoded(type_, result.get_value(row, 0)), int(result.get_value(row, 1) or 0))
        for row in range(result.ntuples)
    ]


@pytest.mark.parametrize("sql", ORDERED)
def test_bytes_sort_as_the_server_sorts_the_values(connection: Connection, sql: str) -> None:
    """Of any two values the bytes are equal, less or greater exactly when the values are."""
    seed, rng = seeded()
    name = {"bit": "bit(5)"}.get(sql, sql)
    type_ = resolve(connection, sql)
    encode = order_encoder(type_)
    assert encode is not None
    count = 0
    for _ in rounds(0.5 / len(ORDERED)):
        texts = [*NEAR.get(sql, ()), *(SCALARS[sql](rng) for _ in range(VALUES))]
        for one, other in pairwise(ranked(connection, name, type_, texts)):
            first, second = encode(one.value), encode(other.value)  # type: ignore[arg-type]  # all are JSON
            assert (first == second) == (one.rank == other.rank), (one, other, seed)
            assert first <= second, (one, other, seed)
            assert first == second or not second.startswith(first), (one, other, seed)
            count += 1
    print(f"{sql}: {count} pairs, PROPERTY_SEED={seed}")  # noqa: T201 - the count


def test_enums_sort_by_their_labels(connection: Connection) -> None:
    """Labels sort as they were declared; one that is not known sorts last."""
    connection.execute("create type mood as enum ('sad', 'ok', 'happy', 'a')")
    type_ = resolve(connection, "mood")
    encode = order_encoder(type_)
    assert encode is not None
    labels = [encode(b'"%b"' % label.encode()) for label in ("sad", "ok", "happy", "a")]
    assert labels == sorted(labels)
    assert encode(b'"new"') > max(labels)


def test_every_type_that_can_be_a_key_is_one(connection: Connection) -> None:
    """Values have one key exactly when the server calls them equal, ordered types or not."""
    for sql, texts in {
        "jsonb": ['{"a": 1.0}', '{"a": 1}', "[1]", '"1"'],
        "int4range": ["[1,2]", "[1,3)", "empty"],
        "timetz": ["10:00+00", "11:00+01", "10:00:00.0+00"],
    }.items():
        type_ = resolve(connection, sql)
        encode = key_encoder(type_)
        for one, other in pairwise(ranked(connection, sql, type_, texts)):
            same = encode(one.value) == encode(other.value)  # type: ignore[arg-type]  # all are JSON
            assert same == (one.rank == other.rank), (sql, one, other)


def random_text(rng: Random, sql: str) -> str | None:
    """A value, NULL now and then; texts are long, and begin alike, more often than in real life."""
    if rng.random() < 0.1:
        return None
    if sql == "text" and rng.random() < 0.5:
        size = rng.choice([90, 95, 97, 250, 260, 470, 480, 520, LONG])
        return "x" * size + rng.choice(["", "a", "b", "bb", "é"])
    return SCALARS[sql](rng)


@dataclass(frozen=True, slots=True)
class Made:
    """A table on the server, and how it is indexed."""

    relation: Relation
    index: IndexWanted
    order_by: str


def make_table(connection: Connection, rng: Random) -> Made:
    """A table with a composite key of any types, a column to group by and columns to order by."""
    kinds = [rng.choice(["text", "text", *ORDERED]) for _ in range(rng.randint(3, 6))]
    kinds = ["bit varying" if kind in {"bit", "varbit"} else kind for kind in kinds]
    keys = rng.randint(1, 2)
    names = [f"c{n}" for n in range(len(kinds))]
    columns = ", ".join(
        f"{name} {kind}" + (' collate "C"' if kind in COLLATED else "")
        for name, kind in zip(names, kinds, strict=True)
    )
    connection.execute(f"create table t ({columns}, unique ({', '.join(names[:keys])}))")
    types = {name: resolve(connection, kind) for name, kind in zip(names, kinds, strict=True)}
    relation = Relation(
        "public",
        "t",
        tuple(Column(name, types[name], in_identity=name in names[:keys]) for name in names),
        primary_key=tuple(names[:keys]),
    )
    order = [
        Part(name, types[name], rng.random() < 0.5, rng.random() < 0.5)
        for name in names[keys + 1 :]
    ]
    clauses = [
        f"{part.column} {'desc' if part.descending else 'asc'}"
        f" nulls {'first' if part.nulls_first else 'last'}"
        for part in order
    ]
    group = Part(names[keys], types[names[keys]])
    return Made(
        relation,
        IndexWanted("public.t", (group,), tuple(order)),
        ", ".join([*clauses, *names[:keys]]),
    )


def fill(connection: Connection, rng: Random, made: Made, count: int) -> None:
    """Rows in a few groups; values that the types don't take, and keys that are there, left out."""
    columns = made.relation.columns
    kinds = ["varbit" if c.type.name == "varbit" else c.type.name for c in columns]
    group = len(made.relation.primary_key)
    few = [random_text(rng, kinds[group]) for _ in range(3)]
    for _ in range(count):
        texts = [random_text(rng, kind) for kind in kinds]
        texts[group] = rng.choice(few)
        if None in texts[:group]:
            continue
        values = ", ".join(
            "null" if text is None else f"cast({literal(text)} as {kind})"
            for text, kind in zip(texts, kinds, strict=True)
        )
        try:
            connection.execute(f"insert into t values ({values}) on conflict do nothing")
        except (psycopg.DataError, psycopg.OperationalError):
            continue  # not a value, or too long for the server's own index


def rows_of(connection: Connection, made: Made, where: str, order_by: str) -> list[list[Value]]:
    """Rows in the server's order, as the stream has them."""
    columns = made.relation.columns
    names = ", ".join(column.name for column in columns)
    result = connection.pgconn.exec_(f"select {names} from t {where} order by {order_by}".encode())
    return [
        [encoded(column.type, result.get_value(row, n)) for n, column in enumerate(columns)]
        for row in range(result.ntuples)
    ]


def test_an_index_gives_rows_in_the_order_of_the_server(
    connection: Connection, tmp_path: Path
) -> None:
    """Whatever types, directions and lengths: each group in full, its first and its last ones."""
    seed, rng = seeded()
    compared = 0
    for number in rounds(0.5):
        made = make_table(connection, rng)
        fill(connection, rng, made, 60)
        compared += check(connection, made, tmp_path / str(number), seed)
        connection.execute("drop table t")
    print(f"{compared} rows in order, PROPERTY_SEED={seed}")  # noqa: T201 - the count


def check(connection: Connection, made: Made, folder: Path, seed: int) -> int:
    """Compare every group; return how many rows there were."""
    group = made.index.group[0].column
    place = len(made.relation.primary_key)
    compared = 0
    with opened(folder, made) as store:
        table, index = store.tables[made.relation], store.indexes[made.index.text]
        rows = rows_of(connection, made, f"where {group} is not null", f"{group}, {made.order_by}")
        staged = Staged(store.tables, folder, 10**9)
        for row in rows_of(connection, made, "", made.order_by):
            staged.put(Change(made.relation, ChangeKind.INSERT, row, has_unchanged=True))
        store.write(lambda batch: batch.apply(staged, Position(1), Deaf()))
        expected: dict[bytes, list[bytes]] = {}
        for row in rows:
            key = index.group([row[place]])
            assert key is not None
            expected.setdefault(key, []).append(table.key_of_odd(row))
        for key, keys in expected.items():
            found = store.read(lambda batch, key=key: list(index.keys(batch.txn, key)))
            assert found == keys, (made, seed)
            last = store.read(
                lambda batch, key=key: list(index.keys(batch.txn, key, most=3, reverse=True))
            )
            assert last == keys[::-1][:3], (made, seed)
            compared += len(keys)
    return compared


@contextmanager
def opened(folder: Path, made: Made) -> Iterator[Any]:
    """A new state with the table and its index."""
    with new_store(folder) as store:
        store.fit(Wanted((made.relation,), (made.index,)))
        yield store
