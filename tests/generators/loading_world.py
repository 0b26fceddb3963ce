"""A world whose rows come into a state by chunks, beside the stream; in memory.

A chunk holds the rows of a part of a table's keys as they are when it is read, and is put in at
once: what happens in between is the window's. A row that moves from an unread part into a read one
is only in the stream, without what didn't change: at the end such rows are read by their keys.
What very many documents show is worked off in pieces, beside all that.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from zlib import crc32

from cdc_daemon.assembly import BOUNDS, JoinedProjections, wanted
from cdc_daemon.events import Position
from cdc_daemon.state import Staged
from tests.generators.json_meaning import parse
from tests.generators.low_bounds import random_bounds

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cdc_daemon.assembly import Assembled, Pending
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Store, Table
    from tests.generators.model_history import ModelHistory

PARTS = 4


class LoadingWorld:
    """A state that is being filled, and a sink that takes what comes out of it."""

    def __init__(
        self,
        history: ModelHistory,
        store: Store,
        plans: Sequence[Plan],
        folder: Path,
        counts: Counter[str],
        anew: Iterable[str] = (),
    ) -> None:
        known = set(store.schema.projections)
        store.fit(wanted(plans), set(anew))
        bounds = random_bounds(history.rng) or BOUNDS
        self.projections = JoinedProjections(plans, store, bounds)
        self.plans = plans
        self.relations = wanted(plans).relations
        self.history, self.rng, self._store = history, history.rng, store
        self._folder, self._counts = folder, counts
        self._unread = {name: list(range(PARTS)) for name in store.schema.to_load}
        new = {plan.name for plan in plans} - known
        self._after = dict.fromkeys(self.projections.held | new, b"")
        """How far each generation is that is to be written."""
        self.sink: dict[tuple[str, bytes], tuple[int, bytes | None]] = {}
        """By read model and address: a document that moves is deleted in one shard, and written in
        another, by one version."""
        self._position = store.read(lambda batch: batch.position)

    def step(self) -> bool:
        """Something happens; whether all is loaded and written, but for wide changes."""
        work = [self._transact, self._load, self._count, self._write, self._fan_out]
        self.rng.choice(work)()
        self.projections.look_again()
        return not (self._unread or self.projections.held or self._after)

    def settle(self) -> None:
        """Nothing more comes: go on until every document shows all of it."""
        while self.projections.wide_open():
            self._fan_out()

    def documents(self, plan: Plan) -> dict[str, Any]:
        """What the sink has, by id."""
        found: dict[str, Any] = {}
        for (name, address), (_, body) in self.sink.items():
            if name == plan.name and body is not None:
                key, _ = json.JSONDecoder().raw_decode(address.decode())
                assert key not in found, f"{key} is in two shards"
                found[key] = parse(body)
        return found

    def _transact(self) -> None:
        self._position = Position(self._position + 1)
        staged = Staged(self._store.tables, self._folder, self.rng.choice((300, 10**6)))
        for change in self.history.transaction():
            if change.relation in self._store.tables:
                staged.put(change)
        pending = self.projections.apply([(staged, self._position)])
        staged.close()
        if self.projections.has_more:
            pending = self.projections.pending()
        self._counts["held back"] += len(self.projections.held)
        self._counts["left to fan-outs"] += bool(self.projections.wide_open())
        self._give_out(pending)

    def _fan_out(self) -> None:
        pending = self.projections.fan_out()
        self._counts["fanned out"] += len(pending)
        self._give_out(pending)

    def _give_out(self, pending: Iterable[Pending]) -> None:
        assembly = self.projections.assemble(pending)
        self._send(assembly.position, assembly.documents)

    def _load(self) -> None:
        """One part of one table; after the last one what lacks a value, until nothing does."""
        if not self._unread:
            return
        name = self.rng.choice(sorted(self._unread))
        parts = self._unread[name]
        (table,) = (one for at, one in self._store.tables.items() if at.qualified_name == name)
        rows = self._rows(table)
        if parts:
            part = parts.pop(self.rng.randrange(len(parts)))
            rows = [row for row in rows if crc32(row[0]) % PARTS == part]
        else:
            lacking = self._store.read(lambda batch: set(batch.holes(table)))
            self._counts["lacked a value"] += len(lacking)
            rows = [row for row in rows if row[0] in lacking]
            del self._unread[name]
        self._store.write(lambda batch: batch.load(table, rows, b"so far"))
        if name not in self._unread:
            assert not self._store.read(lambda batch: set(batch.holes(table)))
            self._store.loaded(name)

    def _rows(self, table: Table) -> list[tuple[bytes, bytes]]:
        names = [column.name for column in table.relation.columns]
        rows = self.history.rows(table.relation)
        return [table.load([row[name] for name in names], odd=False) for row in rows]

    def _count(self) -> None:
        """Only of tables and indexes that are whole."""
        if not self._unread and self._store.index_some():
            self.projections.count_some()

    def _write(self) -> None:
        for name in self._after.keys() - self.projections.held:
            written = self.projections.every(name, self._after[name], 100)
            self._counts["written"] += len(written.documents)
            self._send(written.position, written.documents)
            self._after[name] = written.last
            if not written.looked_at:
                del self._after[name]

    def _send(self, position: int, documents: Iterable[Assembled]) -> None:
        for name, address, body, _ in documents:
            version, before = self.sink.get((name, address), (-1, None))
            assert position >= version
            assert position > version or body == before, "two contents of one version"
            self.sink[name, address] = position, body

    def restarted(self, store: Store, plans: Sequence[Plan], anew: Iterable[str]) -> LoadingWorld:
        """The same with other projections over what the state has."""
        made = LoadingWorld(self.history, store, plans, self._folder, self._counts, anew)
        made.sink = {
            (name, address): found
            for (name, address), found in self.sink.items()
            if name not in made.projections.held
        }
        return made
