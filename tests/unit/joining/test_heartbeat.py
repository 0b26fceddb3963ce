"""Signs of life, while the reader has no time to read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.errors import RetryError
from cdc_daemon.events import NOWHERE, Checkpoint, Position
from cdc_daemon.joining import Heartbeat
from cdc_daemon.metrics import Metrics
from tests.generators.by_hand import configuration, projection
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import MemoryClock, ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGIN = Position(100)


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    """One that nothing is sent to, and that was heard of an hour ago."""
    metrics = Metrics("pipe", 1)
    one = Delivery(
        configuration=configuration(tmp_path),
        sink=MemorySink(),
        projections={"index": projection("hotels")},
        monitor=Monitor(MemoryClock(), metrics),
        metrics=metrics,
        wake=lambda: None,
    )
    one.resume(Checkpoint("pipe", BEGIN, "source-1"), BEGIN)
    one.heard_from_reader = time.monotonic() - 3_600
    yield one
    one.close()


def test_source_and_health_checks_hear_of_the_reader(delivery: Delivery) -> None:
    """Now and then, however often it beats."""
    source = ScriptedSource()
    heartbeat = Heartbeat(source, delivery)
    for _ in range(100):
        heartbeat.beat()
    assert time.monotonic() - delivery.heard_from_reader < 60
    assert source.confirmed == [(BEGIN, BEGIN, NOWHERE)], "nothing was refreshed so far"


def test_a_source_that_is_lost_undoes_nothing(
    delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader learns it when it reads on, with what it was doing done."""
    source = ScriptedSource()

    def lost(**_: Position) -> None:
        raise RetryError("the connection was lost")

    monkeypatch.setattr(source, "confirm", lost)
    Heartbeat(source, delivery).beat()
