"""Random histories of random worlds: after each transaction documents are what the oracle says.

Changes come through a real slot; documents are what was given out, kept by their address.
PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.events import Change, Commit, Position
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.joined.sql import documents_sql
from cdc_daemon.state import Staged
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators import worlds
from tests.generators.budget import rounds, seeded
from tests.generators.kept_documents import KeptDocuments
from tests.generators.random_plans import random_plans
from tests.generators.states import new_store
from tests.generators.world_history import Connection, WorldHistory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Store
    from tests.conftest import Database

BATCHES = 25
READ_SECONDS = 30
ORACLE_MILLISECONDS = 5000
"""Now and then SQL goes many ways over the same rows, and the stream waits for its reader. (Without
`jit`, which Debian's server has: it compiles such statements for a minute.)"""
TICK = "update public.tick set n = n + 1"
"""In every transaction, so that each is in the stream."""


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A session whose texts are those of the stream."""
    settings = {**SESSION_SETTINGS, "jit": "off", "statement_timeout": ORACLE_MILLISECONDS}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        connection.execute("create table public.tick (id int primary key, n int)")
        connection.execute("insert into public.tick values (1, 0)")
        yield connection


class Follower:
    """The changes of one world, through a slot of its own."""

    def __init__(
        self, source: PostgresSource, store: Store, counts: Counter[str], kept: KeptDocuments
    ) -> None:
        self._source, self._store, self._counts = source, store, counts
        self._kept = kept
        (tick,) = source.describe([TableRequest("public.tick")])
        relations = [*store.tables, tick]
        source.prepare(relations)
        source.start(relations, source.create_place())
        self._events: list[Any] = []

    def follow(self, transactions: int, folder: Path, most_bytes: int) -> Position:
        """Apply that many transactions in one batch; return where the last one ends."""
        batch = [self._transaction(folder, most_bytes) for _ in range(transactions)]
        self._kept.apply(batch)
        return batch[-1][1]

    def _transaction(self, folder: Path, most_bytes: int) -> tuple[Staged, Position]:
        staged = Staged(self._store.tables, folder, most_bytes)
        deadline = time.monotonic() + READ_SECONDS
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, Commit):
                    return staged, event.position
                if isinstance(event, Change) and event.relation in self._store.tables:
                    self._counts["changes"] += 1
                    self._counts["left out"] += event.has_unchanged
                    staged.put(event)
            assert time.monotonic() < deadline
            self._events.extend(self._source.read(0.2))


@dataclass
class Run:
    """One world: its history, what follows it, and all that a person needs to see it again."""

    history: WorldHistory
    follower: Follower
    kept: KeptDocuments
    compiled: Compiled
    mappings: dict[str, Any]
    counts: Counter[str]
    told: list[str] = field(default_factory=list)

    def batch(self, folder: Path) -> None:
        """Some transactions, applied together; then every document is compared."""
        rng = self.history.rng
        transactions = rng.choice((1, 1, 1, 2, 3))
        for _ in range(transactions):
            self.told += [*self.history.transact(TICK), "commit"]
        position = self.follower.follow(transactions, folder, rng.choice((300, 10**6)))
        for plan in self.compiled.plans:
            self._compare(plan, position)

    def _compare(self, plan: Plan, position: Position) -> None:
        for differing in self.kept.differing(plan, self._meant(plan), position):
            mapping = worlds.shown(self.mappings[plan.name])
            pytest.fail("\n".join([differing, mapping, *self.history.world.ddl, *self.told]))

    def _meant(self, plan: Plan) -> dict[str, Any] | None:
        try:
            meant = self.history.documents(documents_sql(plan))
        except psycopg.errors.QueryCanceled:
            self.counts["oracle too slow"] += 1
            return None
        self.counts["documents"] += len(meant)
        return meant


def test_documents_are_what_the_oracle_says_after_every_transaction(
    connection: Connection, database: Database, tmp_path: Path
) -> None:
    """Any change of any row at any depth, in any kind of embed."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    config = PostgresConfig.model_validate(
        {"type": "postgres", "dsn": database.dsn, "slot": database.name}
    )
    try:
        for number in rounds():
            values = rng.choice((worlds.VALUES, worlds.WITH_SPECIAL))
            world = worlds.random_world(rng, f"w{number}", values)
            history = WorldHistory(rng, world, connection)
            history.begin()
            with ExitStack() as stack:
                source = PostgresSource(config, pipeline="property")
                stack.callback(source.close)
                store = stack.enter_context(new_store(tmp_path / str(number)))
                names = [table.qualified for table in history.world.tables]
                found = source.describe([TableRequest(name) for name in names])
                relations = dict(zip(names, found, strict=True))
                mappings, compiled = random_plans(rng, history.world, relations)
                kept = KeptDocuments(compiled.plans, store, counts, rng)
                follower = Follower(source, store, counts, kept)
                run = Run(history, follower, kept, compiled, mappings, counts)
                for _ in range(BATCHES):
                    run.batch(tmp_path)
                source.give_up_place()
            history.end()
            counts["worlds"] += 1
    finally:
        print(f"assembly: {dict(counts)}, PROPERTY_SEED={seed}")  # noqa: T201 - the counts
    assert counts["documents"]
