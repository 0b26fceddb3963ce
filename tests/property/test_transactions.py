"""Random transactions side by side, streamed in parts before they end, against what SELECT says.

Savepoints, rollbacks of a part or of all, moved keys, truncates, large rows, statements that fail;
the connection is lost now and then. PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a
run; `--postgres` chooses the server.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.delivery.transactions import OpenTransactions
from cdc_daemon.events import (
    NOWHERE,
    Change,
    Commit,
    Event,
    Position,
    StreamAbort,
    StreamStart,
    StreamStop,
)
from cdc_daemon.ports import TableRequest
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators.budget import rounds, seeded
from tests.generators.by_hand import projection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from cdc_daemon.events import Relation
    from tests.conftest import Database

Connection = psycopg.Connection[tuple[Any, ...]]

TABLES = ("public.t0", "public.t1", "public.t2", "public.t3")
"""Each session mostly writes into one of its own: others hold locks, and let statements fail."""
STEPS = 60
KEYS = 300
LAST_KEY = 1_000_000
READ_SECONDS = 60
WORK_MEM = ("64kB", "64kB", "200kB", "64MB")
MOST_BYTES = (3_000, 30_000, 1_000_000)
"""What may be held in memory: nearly nothing, a part, all."""


@pytest.fixture
def source(database: Database) -> Iterator[PostgresSource]:
    """The source that is tested."""
    config = PostgresConfig.model_validate(
        {"type": "postgres", "dsn": database.dsn, "slot": database.name}
    )
    made = PostgresSource(config, pipeline="property")
    yield made
    made.close()


class Session:
    """One connection with a transaction, of which now and then a statement fails."""

    def __init__(self, connection: Connection, own: str, rng: Random, counts: Counter[str]) -> None:
        self._connection = connection
        self._own = own
        self._rng = rng
        self._counts = counts
        self._savepoints = 0

    def step(self) -> None:
        """Do something in the transaction, or end it."""
        kinds = [self._upsert, self._upsert, self._upsert, self._update, self._move, self._delete]
        kinds += [self._savepoint, self._savepoint, self._release, self._undo]
        kinds += [self.commit, self._rollback, self._truncate]
        weights = [6] * 6 + [4] * 4 + [3, 2, 1]
        self.run(self._rng.choices(kinds, weights)[0])

    def run(self, kind: Any) -> None:
        """Run it; what fails is taken back as far as it must be."""
        try:
            kind()
        except psycopg.Error:
            self._counts["failed"] += 1
            if self._savepoints:
                self._undo()
            else:
                self._rollback()

    def commit(self) -> None:
        """End the transaction."""
        self._savepoints = 0
        self._connection.commit()
        self._counts["committed"] += 1

    def _rollback(self) -> None:
        self._savepoints = 0
        self._connection.rollback()
        self._counts["rolled back"] += 1

    def _execute(self, statement: str, *values: object) -> None:
        table = self._own if self._rng.random() < 0.8 else self._rng.choice(TABLES)
        self._connection.execute(statement.replace("item", table).encode(), values)

    def _range(self) -> tuple[int, int]:
        first = self._rng.randrange(KEYS)
        return first, first + self._rng.choice([0, 3, 30, 150])

    def _text(self) -> str:
        """Small, large, or so large that it is stored out of line."""
        return self._rng.choice("abc") * self._rng.choice([3, 300, 1500, 9000])

    def _upsert(self) -> None:
        self._execute(
            "insert into item select i, %s || i from generate_series(%s::int, %s::int) i"
            " on conflict (id) do update set t = excluded.t",
            *(self._text(), *self._range()),
        )

    def _update(self) -> None:
        self._execute(
            "update item set n = n + 1, t = case when id %% 2 = 0 then t else %s end"
            " where id between %s and %s",
            *(self._text(), *self._range()),
        )

    def _move(self) -> None:
        distance = self._rng.choice([-1, 1, KEYS, -KEYS])
        self._execute(
            "update item set id = id + %s where id between %s and %s", distance, *self._range()
        )

    def _delete(self) -> None:
        self._execute("delete from item where id between %s and %s", *self._range())

    def _truncate(self) -> None:
        self._execute("truncate item")

    def _savepoint(self) -> None:
        self._savepoints += 1
        self._execute(f"savepoint s{self._savepoints}")

    def _release(self) -> None:
        if self._savepoints:
            self._savepoints = self._rng.randint(1, self._savepoints) - 1
            self._execute(f"release savepoint s{self._savepoints + 1}")

    def _undo(self) -> None:
        if self._savepoints:
            kept = self._rng.randint(1, self._savepoints)
            self._execute(f"rollback to savepoint s{kept}")
            self._savepoints = kept
            self._counts["undone"] += 1


class Follower:
    """What the stream makes of the documents, folded as the pipeline does it."""

    def __init__(
        self, source: PostgresSource, relations: list[Relation], folder: Path, counts: Counter[str]
    ) -> None:
        self._source = source
        self._relations = relations
        self._folder = folder
        self._counts = counts
        self._received = NOWHERE
        self.documents: dict[str, dict[bytes, bytes]] = {table: {} for table in TABLES}
        self._transactions = self._begin(0)

    def _begin(self, most_bytes: int) -> OpenTransactions:
        indices = [(projection(relation=each), each.qualified_name) for each in self._relations]
        return OpenTransactions(self._relations, indices, most_bytes, self._folder)

    def start(self, after: Position, most_bytes: int) -> None:
        """Connect; what was cut off comes again."""
        self.forget()
        self._received = after
        self._transactions = self._begin(most_bytes)
        self._source.start(self._relations, after)

    def forget(self) -> None:
        """Let go of what hasn't ended."""
        self._transactions.forget()

    def connect_again(self, most_bytes: int) -> None:
        """The connection was lost."""
        self.start(self._received, most_bytes)

    def read(self) -> None:
        """What has come."""
        for event in self._source.read(0.1):
            self._counts[type(event).__name__] += 1
            self._take(event)
        self._counts["spilled bytes"] += self._transactions.spill_if_large()

    def _take(self, event: Event) -> None:
        if isinstance(event, Change):
            for apply, fold in self._transactions.destinations[event.relation].targets:
                apply(event, fold)
        elif isinstance(event, Commit):
            self._commit(event)
        elif isinstance(event, StreamStart | StreamStop | StreamAbort):
            self._transactions.follow(event)

    def _commit(self, commit: Commit) -> None:
        assert commit.position > self._received
        self._received = commit.position
        for route in self._transactions.committed(commit.xid):
            documents = self.documents[route.index]
            if route.fold.truncated:
                documents.clear()
                self._counts["truncated"] += 1
            if route.fold.is_scattered:
                route.fold.gather()
            for document_id, body in route.fold.drain():
                if body is None:
                    documents.pop(document_id, None)
                else:
                    documents[document_id] = body
        self._transactions.ended(commit.xid)


def test_folded_transactions_equal_select(
    database: Database, source: PostgresSource, tmp_path: Path
) -> None:
    """Whatever is streamed in parts, taken back, spilled and cut off: at the end all is equal."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(
                f"create table {table} (id int primary key, t text, n int default 0);"
                f"alter table {table} alter t set storage external, replica identity full".encode()
            )
        relations = source.describe([TableRequest(table, ("id", "t")) for table in TABLES])
        source.prepare(relations)
        follower = Follower(source, relations, tmp_path / "spill", counts)
        follower.start(source.create_place(), 0)
        try:
            for number in rounds(proof_share=1 / 6):
                check_round(database, connection, rng, follower, number, counts)
        except BaseException:
            print(f"PROPERTY_SEED={seed}")  # noqa: T201 - to repeat it
            raise
        finally:
            follower.forget()
    print(f"transactions: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["StreamStart"]


def check_round(
    database: Database,
    connection: Connection,
    rng: Random,
    follower: Follower,
    number: int,
    counts: Counter[str],
) -> None:
    """Some transactions side by side, read meanwhile; then compare."""
    set_streaming(connection, rng)
    follower.connect_again(rng.choice(MOST_BYTES))
    options = "-c lock_timeout=20ms -c deadlock_timeout=10ms -c client_min_messages=error"
    with ExitStack() as stack:
        sessions = [
            Session(
                stack.enter_context(psycopg.connect(database.dsn, options=options)),
                *(table, rng, counts),
            )
            for table in TABLES
        ]
        for _ in range(STEPS):
            rng.choice(sessions).step()
            if rng.random() < 0.1:
                follower.read()
            if rng.random() < 0.02:
                follower.connect_again(rng.choice(MOST_BYTES))
        for session in sessions:
            session.run(session.commit)
    mark = f"round {number}"
    connection.execute(
        "insert into t0 values (%s, %s) on conflict (id) do update set t = excluded.t",
        [LAST_KEY, mark],
    )
    deadline = time.monotonic() + READ_SECONDS
    while follower.documents[TABLES[0]].get(b"%d" % LAST_KEY) != b'"%b"' % mark.encode():
        assert time.monotonic() < deadline
        follower.read()
    for table, documents in follower.documents.items():
        rows = connection.execute(f"select id, to_json(t)::text from {table}".encode()).fetchall()
        assert documents == {b"%d" % key: text.encode() for key, text in rows}, table
        counts["compared"] += len(rows)
    counts["rounds"] += 1


def set_streaming(connection: Connection, rng: Random) -> None:
    """From when on a transaction comes in parts, for connections that are made from now on."""
    [(database, version)] = connection.execute(
        "select current_database(), current_setting('server_version_num')::int"
    )
    settings = {"logical_decoding_work_mem": rng.choice(WORK_MEM)}
    if version >= 160000:
        # Each change at once, as a part of its own.
        settings["debug_logical_replication_streaming"] = rng.choice(["buffered", "immediate"])
    for name, value in settings.items():
        connection.execute(f"alter database {database} set {name} = '{value}'".encode())
