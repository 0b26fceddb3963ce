"""A pipeline in a thread, over a scripted source and a sink in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cdc_daemon.backfill.backfill import Backfill
from cdc_daemon.backfill.filler import HoleFiller
from cdc_daemon.config.models import BackfillConfig
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.events import (
    Change,
    ChangeKind,
    Checkpoint,
    Commit,
    Position,
)
from cdc_daemon.metrics import Metrics
from cdc_daemon.pipeline import Pipeline
from tests.generators.by_hand import configuration, projection
from tests.generators.following import following
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import MemoryClock, ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


HOTELS = projection("hotels")
INDEX = "index of hotels"


@dataclass
class Reader:
    """A pipeline in a thread, begun after position 100."""

    source: ScriptedSource
    sink: MemorySink
    delivery: Delivery
    pipeline: Pipeline
    states: list[str]
    stop: threading.Event
    failures: list[BaseException] = field(default_factory=list)
    thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow in the background."""
        self.thread = following(self.pipeline, self.failures)

    def last_confirmed(self) -> tuple[int, int, int]:
        """Received, durable and searchable, as the source was told last."""
        return self.source.confirmed[-1] if self.source.confirmed else (0, 0, 0)

    def searchable(self) -> dict[bytes, tuple[int, bytes | None]]:
        """What searches see."""
        return self.sink.index(INDEX).searchable


@contextmanager
def readers(folder: Path) -> Iterator[Callable[..., Reader]]:
    """Make readers; ended afterwards."""
    made: list[Reader] = []

    def reader(*, queue: int = 4_000_000, transaction_bytes: int = 10_000) -> Reader:
        source, sink, metrics = ScriptedSource(), MemorySink(), Metrics("pipe", 1)
        stop, states = threading.Event(), list[str]()
        delivery = Delivery(
            configuration=configuration(folder, queue=queue),
            sink=sink,
            projections={INDEX: HOTELS},
            monitor=Monitor(MemoryClock(), metrics),
            metrics=metrics,
            wake=source.wake,
        )
        delivery.start()
        delivery.resume(Checkpoint("pipe", Position(100), "system/1"), Position(100))
        backfill = Backfill(
            config=BackfillConfig(),
            source=source,
            sink=sink,
            delivery=delivery,
            generations={},
            all_loaded=stop.set,
            recent=deque(),
        )
        pipeline = Pipeline(
            source=source,
            source_id="system/1",
            relations=[HOTELS.relation],
            indices=[(HOTELS, INDEX)],
            delivery=delivery,
            backfill=backfill,
            filler=HoleFiller(source, delivery, {INDEX: HOTELS}),
            transaction_bytes=transaction_bytes,
            spill_folder=folder / "spill",
            stopping=stop.is_set,
            state=states.append,
        )
        made.append(Reader(source, sink, delivery, pipeline, states, stop))
        return made[-1]

    yield reader
    for one in made:
        one.stop.set()
        one.source.wake()
        if one.thread is not None:
            one.thread.join(5)
            assert not one.thread.is_alive()
        one.sink.gate.set()
        one.delivery.close()


def insert(number: int, text: str = "x") -> Change:
    """A row comes."""
    row = [b'"%d"' % number, b'{"name":"%s"}' % text.encode()]
    return Change(HOTELS.relation, ChangeKind.INSERT, row)  # type: ignore[arg-type]  # bytes are values


def delete(number: int) -> Change:
    """A row goes."""
    return Change(HOTELS.relation, ChangeKind.DELETE, None, [b'"%d"' % number, b"null"])


def truncate() -> Change:
    """All rows go."""
    return Change(HOTELS.relation, ChangeKind.TRUNCATE)


def commit(position: int, xid: int = 0) -> Commit:
    """The transaction ends."""
    return Commit(Position(position), time.time(), xid)
