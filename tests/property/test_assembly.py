"""Random histories of random worlds: after each transaction documents are what the oracle says.

Changes come through a real slot; documents are what was given out, kept by their address.
PROPERTY_SECONDS says how long (15), PROPERTY_SEED repeats a run.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.assembly import JoinedProjections, wanted
from cdc_daemon.config.models import ProjectionConfig
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.events import Change, Commit, Position
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_projections
from cdc_daemon.projection.joined.sql import documents_sql
from cdc_daemon.state import Staged
from cdc_daemon.values import SESSION_SETTINGS
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from tests.generators import worlds
from tests.generators.budget import rounds, seeded
from tests.generators.json_meaning import parse
from tests.generators.mappings import random_mapping
from tests.generators.states import new_store
from tests.generators.world_history import Connection, WorldHistory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.events import Relation
    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Store
    from tests.conftest import Database

MAPPINGS = 5
BATCHES = 25
READ_SECONDS = 30
TICK = "update public.tick set n = n + 1"
"""In every transaction, so that each is in the stream."""

Kept = dict[str, dict[str, bytes]]
"""Projection to id to body."""


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A session whose texts are those of the stream."""
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
    with psycopg.connect(database.dsn, autocommit=True, options=options) as connection:
        connection.execute("create table public.tick (id int primary key, n int)")
        connection.execute("insert into public.tick values (1, 0)")
        yield connection


class Follower:
    """The state and the documents of one world, through a slot of its own."""

    def __init__(
        self, source: PostgresSource, compiled: Compiled, store: Store, counts: Counter[str]
    ) -> None:
        self._source, self._store, self._counts = source, store, counts
        self._plans = compiled.plans
        store.fit(wanted(self._plans))
        self._projections = JoinedProjections(self._plans, store)
        (tick,) = source.describe([TableRequest("public.tick")])
        relations = [*wanted(self._plans).relations, tick]
        source.prepare(relations)
        source.start(relations, source.create_place())
        self.kept: Kept = {plan.name: {} for plan in self._plans}
        self._events: list[Any] = []

    def follow(self, transactions: int, folder: Path, most_bytes: int) -> None:
        """Apply that many transactions in one batch, and keep what is given out."""
        batch = [self._transaction(folder, most_bytes) for _ in range(transactions)]
        pending = self._projections.apply(batch)
        position, documents = self._projections.assemble(pending)
        assert position == batch[-1][1]
        assert len(documents) == len(pending) == len(set(pending))
        for name, address, body in documents:
            self._keep(name, address, body)
        for name in self.kept:
            addresses = [one.address for one in pending if one.projection == name]
            self._projections.written(name, addresses, position)
        assert not list(self._projections.pending())
        for staged, _ in batch:
            staged.close()

    def _keep(self, name: str, address: bytes, body: bytes | None) -> None:
        key, _ = json.JSONDecoder().raw_decode(address.decode())
        kept = self.kept[name]
        self._counts["given out"] += 1
        self._counts["as before"] += kept.get(key) == body
        if body is None:
            kept.pop(key, None)
        else:
            kept[key] = body

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
        self.follower.follow(transactions, folder, rng.choice((300, 10**6)))
        for plan in self.compiled.plans:
            self._compare(plan)

    def _compare(self, plan: Plan) -> None:
        found = {key: parse(body) for key, body in self.follower.kept[plan.name].items()}
        meant = self.history.documents(documents_sql(plan))
        self.counts["documents"] += len(meant)
        for key in found.keys() | meant:
            if found.get(key) != meant.get(key):
                ddl, mapping = self.history.world.ddl, worlds.shown(self.mappings[plan.name])
                lines = [mapping, *ddl, *self.told]
                pytest.fail(
                    f"{key}: {found.get(key)}\nmeant: {meant.get(key)}\n" + "\n".join(lines)
                )


def test_documents_are_what_the_oracle_says_after_every_transaction(
    connection: Connection, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any change of any row at any depth, in any kind of embed."""
    seed, rng = seeded()
    counts: Counter[str] = Counter()
    config = PostgresConfig.model_validate(
        {"type": "postgres", "dsn": database.dsn, "slot": database.name}
    )
    try:
        for number in rounds():
            history = WorldHistory(rng, worlds.random_world(rng, f"w{number}"), connection)
            history.begin()
            with ExitStack() as stack:
                source = PostgresSource(config, pipeline="property")
                stack.callback(source.close)
                store = stack.enter_context(new_store(tmp_path / str(number)))
                mappings, compiled = _compiled(history, source)
                follower = Follower(source, compiled, store, counts)
                run = Run(history, follower, compiled, mappings, counts)
                for _ in range(BATCHES):
                    run.batch(tmp_path)
                source.give_up_place()
            history.end()
            counts["worlds"] += 1
    finally:
        with capsys.disabled():
            print(f"\nassembly: {dict(counts)}; PROPERTY_SEED={seed}")  # noqa: T201 - how much, how to replay
    assert counts["documents"]


def _compiled(history: WorldHistory, source: PostgresSource) -> tuple[dict[str, Any], Compiled]:
    world, rng = history.world, history.rng
    names = [table.qualified for table in world.tables]
    found = source.describe([TableRequest(name) for name in names])
    relations = dict(zip(names, found, strict=True))
    mappings = {}
    for number in range(MAPPINGS):
        mapping = random_mapping(rng, world)
        if rng.random() < 0.2:
            mapping["routing"] = rng.choice(world.table(mapping["from"]).key)
        if _fits(mapping, relations):
            mappings[f"p{number}"] = mapping
    return mappings, _compile(mappings, relations)


def _fits(mapping: dict[str, Any], relations: dict[str, Relation]) -> bool:
    """Now and then a mapping has too many levels."""
    try:
        return bool(_compile({"p": mapping}, relations).plans)
    except ConfigurationError:
        return False


def _compile(mappings: dict[str, Any], relations: dict[str, Relation]) -> Compiled:
    configs = {name: ProjectionConfig.model_validate(one) for name, one in mappings.items()}
    return compile_projections(configs, relations, lambda *_: "")
