"""What the reader does with joined read models, by hand: a real state, and a sink in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cdc_daemon.assembly import wanted
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.events import (
    Change,
    ChangeKind,
    Checkpoint,
    Commit,
    Position,
)
from cdc_daemon.joining import Joiner
from cdc_daemon.metrics import Metrics
from tests.generators.by_hand import configuration
from tests.generators.conditions import wait_until
from tests.generators.joined_store import CHAIN, ROOMS, plans
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import MemoryClock
from tests.generators.states import fit_empty, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.covering import Covered
    from cdc_daemon.events import Relation, Value
    from cdc_daemon.state import Store

BEGIN = Position(100)
INDEX = "index of hotels"
PLANS = plans(hotels={"embed": {"chain": CHAIN, "rooms": ROOMS}})


class Reader:
    """What the reader does with a joiner, by hand."""

    def __init__(
        self, store: Store, folder: Path, covered: Mapping[str, Covered], **memory: int
    ) -> None:
        metrics = Metrics("pipe", 1)
        self.sink = MemorySink()
        self.delivery = Delivery(
            configuration=configuration(folder, **memory),
            sink=self.sink,
            projections={INDEX: PLANS[0]},
            monitor=Monitor(MemoryClock(), metrics),
            metrics=metrics,
            wake=lambda: None,
        )
        self.delivery.resume(Checkpoint("pipe", BEGIN, "source-1"), BEGIN)
        self.progress = self.delivery.progress
        self.beats = 0
        self.joiner = Joiner(
            store=store,
            plans=PLANS,
            indices={"hotels": INDEX},
            delivery=self.delivery,
            memory=configuration(folder, **memory).memory,
            folder=folder,
            covered=covered,
            meanwhile=self.beat,
        )
        self.joiner.begin()
        self.joiner.connected_again()
        self._tables = {relation.name: relation for relation in self.joiner.relations}

    def beat(self) -> None:
        """Much is done at once."""
        self.beats += 1

    def table(self, name: str) -> Relation:
        """One that is kept."""
        return self._tables[name]

    def insert(self, table: str, **values: Value) -> None:
        """A row comes; columns that aren't named are NULL."""
        self._take(table, ChangeKind.INSERT, values)

    def update(self, table: str, **values: Value) -> None:
        """A row changes."""
        self._take(table, ChangeKind.UPDATE, values)

    def move(self, table: str, old: Value, **values: Value) -> None:
        """A row takes another key."""
        self._take(table, ChangeKind.UPDATE, values, {"id": old})

    def delete(self, table: str, **key: Value) -> None:
        """A row goes."""
        old = [key.get(column.name, b"null") for column in self.table(table).columns]
        self.joiner.take(Change(self.table(table), ChangeKind.DELETE, old=old))

    def _take(
        self,
        table: str,
        kind: ChangeKind,
        values: dict[str, Any],
        before: dict[str, Any] | None = None,
    ) -> None:
        columns = [column.name for column in self.table(table).columns]
        new = [values.get(name, b"null") for name in columns]
        old = None if before is None else [before.get(name, b"null") for name in columns]
        odd = any(not isinstance(value, bytes) for value in (*new, *(old or ())))
        self.joiner.take(Change(self.table(table), kind, new, old, has_unchanged=odd))

    def commit(self, position: int, xid: int = 1) -> None:
        """The transaction ends."""
        self.joiner.commit(Commit(Position(position), 0.0, xid))
        if self.joiner.holds:
            self.joiner.passed(Position(position))
        else:
            self.progress.received = Position(position)

    def deliver(self) -> dict[bytes, tuple[int, bytes | None]]:
        """Have the senders write what they were given; what the index holds then."""
        self.delivery.start()
        self.delivery.dispatcher.release()
        assert wait_until(lambda: not self.delivery.dispatcher.size_bytes)
        return self.sink.index(INDEX).documents


@contextmanager
def reading(
    folder: Path, covered: Mapping[str, Covered] | None = None, **memory: int
) -> Iterator[Reader]:
    """A reader over a new state."""
    with new_store(folder / "state") as store:
        fit_empty(store, wanted(PLANS))
        reader = Reader(store, folder, covered or {}, **memory)
        try:
            yield reader
        finally:
            reader.delivery.close()
