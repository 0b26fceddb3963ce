"""A whole delivery over a sink in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.events import Checkpoint, Position
from cdc_daemon.metrics import Metrics
from tests.generators.by_hand import configuration, projection
from tests.generators.scripted_source import MemoryClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.generators.memory_sink import MemorySink


class Running(NamedTuple):
    """A delivery whose threads run."""

    delivery: Delivery
    sink: MemorySink
    metrics: Metrics

    def value(self, name: str, **labels: str) -> float:
        """A sample of the metrics; 0 where there is none."""
        return self.metrics.registry.get_sample_value(name, {"pipeline": "pipe", **labels}) or 0.0

    def position(self, index: str = "index of hotels") -> int:
        """How many operations reached the index."""
        return sum(map(len, self.sink.index(index).arrived.values()))


@pytest.fixture
def deliver(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a delivery of the projections `hotels` and `rooms`, resumed from position 1."""
    started: list[Delivery] = []

    def start(sink: MemorySink, **settings: float) -> Running:
        metrics = Metrics("pipe", 1)
        delivery = Delivery(
            configuration=configuration(tmp_path, "hotels", "rooms", **settings),  # type: ignore[arg-type]  # whole numbers where they must be
            sink=sink,
            projections={f"index of {name}": projection(name) for name in ("hotels", "rooms")},
            monitor=Monitor(MemoryClock(), metrics),
            metrics=metrics,
            wake=lambda: None,
        )
        started.append(delivery)
        delivery.start()
        delivery.resume(Checkpoint("pipe", Position(1), "system/1"), Position(1))
        return Running(delivery, sink, metrics)

    yield start
    for delivery in started:
        delivery.close()
        for thread in (*delivery._senders, *delivery._refreshers, delivery.checkpointer):
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} did not end"
