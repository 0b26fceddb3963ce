"""A bench for backfills: a scripted source and a sink in memory, driven by the reader."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.backfill.backfill import Backfill
from cdc_daemon.backfill.control import Control
from cdc_daemon.backfill.filler import HoleFiller
from cdc_daemon.config.models import BackfillConfig
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.events import Checkpoint, Load, Position, Watermark
from cdc_daemon.generations import create, publish
from cdc_daemon.metrics import Metrics
from cdc_daemon.pipeline import Pipeline
from cdc_daemon.projection.compiler import Compiled
from tests.generators.by_hand import configuration, projection
from tests.generators.following import following
from tests.generators.memory_sink import MemorySink, Trouble
from tests.generators.scripted_source import MemoryClock, ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdc_daemon.events import Row

HOTELS = projection("hotels")
BLOCKS = 20
ROWS_OF_BLOCK = 100
FIRST = Load(HOTELS.relation.qualified_name, ("hotels",))
"""Fills a new generation."""


class NudgedAtOnce(Monitor):
    """The source's position moves as soon as somebody asks for it."""

    def __init__(self, source: ScriptedSource, metrics: Metrics) -> None:
        super().__init__(MemoryClock(), metrics)
        self.source = source
        self.received = Position(100)

    def nudge_soon(self) -> None:
        """The next read says so."""
        self.received = Position(self.received + 50)
        self.source.at = max(self.source.at, self.received)
        self.source.script.append([Watermark(self.received)])
        self.source.wake()


@dataclass
class Loading:
    """A pipeline in a thread that loads one read model."""

    source: ScriptedSource
    sink: MemorySink
    delivery: Delivery
    backfill: Backfill
    control: Control
    pipeline: Pipeline
    checkpoint: Checkpoint
    stop: threading.Event
    all_loaded: threading.Event
    failures: list[BaseException]
    thread: threading.Thread | None = None

    @property
    def index(self) -> str:
        """What is being filled."""
        return self.checkpoint.generations["hotels"].index

    def start(self) -> None:
        """Follow in the background."""
        self.thread = following(self.pipeline, self.failures)

    def write(self, key: int, version: int, body: bytes) -> None:
        """Somebody else writes a document, as long as its version lets them."""
        documents = self.sink.index(self.index).documents
        documents[b'"%d"' % key] = (version, body)

    def shown(self) -> dict[bytes, bytes]:
        """What searches find."""
        found = self.sink.index(self.index).searchable
        return {key: body for key, (_, body) in found.items() if body is not None}

    def stored(self) -> Checkpoint:
        """The checkpoint in the sink."""
        return self.sink.checkpoints.stored["pipe"]


def blocks() -> list[list[Row]]:
    """2,000 rows."""
    return [
        [[b'"%d"' % (ROWS_OF_BLOCK * block + one), b'{"n":%d}' % one] for one in range(100)]
        for block in range(BLOCKS)
    ]


def begun(sink: MemorySink, load: Load | None, unseen: tuple[int, ...] = ()) -> Checkpoint:
    """What a start has made, before the trouble begins."""
    trouble, sink.trouble = sink.trouble, Trouble()
    generations = create([HOTELS.model], sink)
    loads = (load,) if load else ()
    checkpoint = Checkpoint("pipe", Position(100), "system/1", generations, loads, unseen=unseen)
    if load is None or load.repairs:
        publish(sink, generations["hotels"])
    sink.checkpoints.store(checkpoint)
    sink.trouble = trouble
    return checkpoint


def assembled(
    folder: Path,
    sink: MemorySink,
    source: ScriptedSource,
    checkpoint: Checkpoint,
    queue: int = 4_000_000,
) -> Loading:
    """A pipeline that goes on from a checkpoint, once it is started."""
    metrics = Metrics("pipe", 1)
    stop, all_loaded = threading.Event(), threading.Event()
    index = checkpoint.generations["hotels"].index
    delivery = Delivery(
        configuration=configuration(folder, queue=queue),
        sink=sink,
        projections={index: HOTELS},
        monitor=NudgedAtOnce(source, metrics),
        metrics=metrics,
        wake=source.wake,
    )
    delivery.start()
    delivery.resume(checkpoint, checkpoint.position)
    backfill = Backfill(
        config=BackfillConfig(),
        source=source,
        sink=sink,
        delivery=delivery,
        generations=checkpoint.generations,
        all_loaded=all_loaded.set,
        recent=deque(),
        unseen=checkpoint.unseen,
    )
    compiled = Compiled((HOTELS,), (HOTELS.relation,))
    backfill.begin(checkpoint.loads, compiled)
    pipeline = Pipeline(
        source=source,
        source_id="system/1",
        relations=[HOTELS.relation],
        indices=[(HOTELS, index)],
        delivery=delivery,
        backfill=backfill,
        filler=HoleFiller(source, delivery, {index: HOTELS}),
        transaction_bytes=1_000_000,
        spill_folder=folder / "spill",
        stopping=stop.is_set,
        state=lambda _: None,
    )
    control = Control(backfill, compiled, delivery)
    return Loading(
        source, sink, delivery, backfill, control, pipeline, checkpoint, stop, all_loaded, []
    )


@pytest.fixture
def make(tmp_path: Path, no_backoff: None) -> Iterator[Callable[..., Loading]]:  # noqa: ARG001 - for its effect
    """Make one; ended afterwards."""
    made: list[Loading] = []

    def loading(
        *,
        sink: MemorySink | None = None,
        load: Load | None = FIRST,
        reached: int = 100,
        queue: int = 4_000_000,
        unseen: tuple[int, ...] = (),
    ) -> Loading:
        sink = sink or MemorySink()
        source = ScriptedSource(blocks(), reached)
        made.append(assembled(tmp_path, sink, source, begun(sink, load, unseen), queue))
        return made[-1]

    yield loading
    for one in made:
        one.stop.set()
        one.source.wake()
        if one.thread is not None:
            one.thread.join(5)
            assert not one.thread.is_alive()
        one.backfill.close()
        one.sink.trouble = Trouble()
        one.sink.gate.set()
        one.delivery.close()
