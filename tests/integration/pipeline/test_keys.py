"""Keys of every type: loaded, streamed, changed, deleted, and read by for values left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.generators.budget import repeatable, seeded
from tests.generators.oracle import assert_equal
from tests.generators.pg_scalars import SCALARS
from tests.generators.pg_values import literal, scalar
from tests.generators.random_mapping import document_id

if TYPE_CHECKING:
    from random import Random

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

KEYS = 6
TRIES = 200
LARGE = "(select string_agg(md5(random()::text), '') from generate_series(1, 100))"
SOME = "generate_series(1, 20) i"
KEYLESS_CHANGES = (
    "update {} set b = b || '!' where a < 6",
    "delete from {} where a in (7, 8)",
    f"insert into {{}} select i, 'again', {LARGE} from generate_series(7, 8) i",
    "begin; update {0} set a = -a where a in (9, 10); update {0} set a = a + 19 where a < 0",
    "commit",
    "update {} set a = a + 100, body = b where a = 11",
)
NO_NUMBERS = {"NaN", "Infinity", "-Infinity"}
"""JSON has none for them, so there is no document id either: such a row is a dead letter."""
REFUSED = {"oidvector"}
"""Its text can't be had back from its JSON."""
NO_KEYS = {"json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle"} | {
    *("jsonpath", "xid", "cid", "int2vector", "pg_snapshot", "txid_snapshot", "refcursor"),
    *("regoper", "regoperator", "regproc", "regprocedure"),
}
"""PostgreSQL doesn't take them, or hardly any two values of them are apart."""


class Table:
    """A table with a key of one type, and keys that the server takes and tells apart."""

    def __init__(self, connection: psycopg.Connection, name: str, rng: Random) -> None:
        self.name = f"by_{name.strip()}"
        self._type = scalar(name)
        key = f"k {self._type.sql} primary key"
        connection.execute(f"create table {self.name} ({key}, n int, body text)".encode())
        connection.execute(f"alter table {self.name} alter body set storage external".encode())
        self.keys = self._filled(connection, rng)

    def _filled(self, connection: psycopg.Connection, rng: Random) -> list[str]:
        keys = []
        for _ in range(TRIES):
            key = f"{literal(self._type.text(rng))}::{self._type.sql}"
            insert = f"insert into {self.name} select k, 0, {LARGE} from (select {key}) x (k)"
            number = f"to_jsonb(k) #>> '{{}}' <> all('{{{','.join(NO_NUMBERS)}}}')"
            try:
                done = connection.execute(
                    f"{insert} where {number} on conflict do nothing".encode()
                )
            except psycopg.Error:
                continue
            if done.rowcount:
                keys.append(key)
            if len(keys) == KEYS:
                break
        return keys

    def changes(self) -> list[str]:
        """Some keys go and come again, one becomes another, and large values are left out."""
        one, other, *_ = self.keys
        last = self.keys[-1]
        return [
            f"delete from {self.name} where k = {last}",
            f"update {self.name} set n = 1",
            f"update {self.name} set k = {last} where k = {one}",
            f"update {self.name} set n = 2 where k = {last}",
            f"insert into {self.name} values ({one}, 3, 'new')",
            f"delete from {self.name} where k = {other}",
        ]

    @property
    def query(self) -> str:
        """What the documents are."""
        document = "jsonb_build_object('n', n, 'body', body)"
        return f"select {document_id(['k'])}, {document} from {self.name}"


def test_keys_of_every_type(database: Database, start_daemon: StartDaemon, rest: Rest) -> None:
    """Each by itself: the document id is the key as PostgreSQL casts it to text."""
    seed, rng = seeded()
    with repeatable(seed), psycopg.connect(database.dsn, autocommit=True) as connection:
        names = sorted(SCALARS.keys() - NO_KEYS - REFUSED)
        tables = [Table(connection, name, rng) for name in names]
        assert all(len(table.keys) > 1 for table in tables), {t.name: t.keys for t in tables}
        fields = {"n": None, "body": None}
        daemon = start_daemon(
            {
                table.name: {"from": table.name, "fields": fields, "freshness": "20ms"}
                for table in tables
            }
        )
        daemon.wait_until("streaming", 120)
        expected = {table.name: table.query for table in tables}
        assert_equal(database.dsn, rest, expected)
        for table in tables:
            for statement in table.changes():
                connection.execute(statement.encode())
        daemon.catch_up()
        compared = assert_equal(database.dsn, rest, expected)
    print(f"keys: {len(tables)} types, {compared} documents, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert not daemon.status()["dead_letters"]


def test_tables_without_a_primary_key(
    database: Database, start_daemon: StartDaemon, rest: Rest
) -> None:
    """By a unique index: its replica identity, or whole old rows; large values and swaps too."""
    names = ("by_index", "by_row")
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for name in names:
            connection.execute(f"create table {name} (a int not null, b text, body text)".encode())
            connection.execute(f"create unique index {name}_a on {name} (a)".encode())
            connection.execute(f"insert into {name} select i, i, {LARGE} from {SOME}".encode())
        connection.execute("alter table by_index replica identity using index by_index_a")
        connection.execute("alter table by_row replica identity full")
        daemon = start_daemon({name: {"from": name, "fields": "*", "id": ["a"]} for name in names})
        daemon.wait_until("streaming")
        for name in names:
            for change in KEYLESS_CHANGES:
                connection.execute(change.format(name).encode())
        daemon.catch_up()
    expected = {name: f"select a::text, to_jsonb({name}) from {name}" for name in names}
    assert assert_equal(database.dsn, rest, expected) == 2 * 20
    assert not daemon.status()["dead_letters"]
