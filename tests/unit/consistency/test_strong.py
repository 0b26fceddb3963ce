"""Whether commits wait for the daemon, and how long they did."""

from __future__ import annotations

import time

import pytest
from structlog.testing import capture_logs

from cdc_daemon.config.strong import StrongConfig
from cdc_daemon.consistency.strong import Strong
from cdc_daemon.events import Position
from cdc_daemon.metrics import Metrics
from cdc_daemon.ports import Standing

NAMED = Standing(named=True)
SYNCHRONOUS = Standing(named=True, synchronous=True)


@pytest.fixture
def metrics() -> Metrics:
    """Empty ones."""
    return Metrics("pipe", 1)


def shown(metrics: Metrics, name: str) -> float | None:
    """The value of a metric, None if it isn't shown."""
    return metrics.registry.get_sample_value(name, {"pipeline": "pipe"})


def test_it_is_shown_where_it_is_expected_or_asked_for(metrics: Metrics) -> None:
    """And not where nobody has heard of it."""
    strong = Strong(metrics, None)
    strong.sampled(Standing())
    assert shown(metrics, "cdc_strong_active") is None
    strong.sampled(NAMED)
    assert shown(metrics, "cdc_strong_active") == 0
    assert strong.waited_for
    Strong(other := Metrics("pipe", 1), StrongConfig())
    assert shown(other, "cdc_strong_active") == 0


def test_its_beginning_and_its_end_are_said_once(metrics: Metrics) -> None:
    """Each with a line in the log; a source that is lost ends it, and commits may wait still."""
    strong = Strong(metrics, StrongConfig())
    with capture_logs() as logs:
        for standing in (NAMED, SYNCHRONOUS, SYNCHRONOUS):
            strong.sampled(standing)
        assert shown(metrics, "cdc_strong_active") == 1
        strong.lost()
        strong.lost()
    assert [entry["event"] for entry in logs] == ["strong_began", "strong_ended"]
    assert logs[-1]["named"]
    assert shown(metrics, "cdc_strong_active") == 0
    assert strong.waited_for


def test_the_waits_of_commits_are_counted_while_they_wait(metrics: Metrics) -> None:
    """From when one is received until the source is told."""
    strong = Strong(metrics, StrongConfig())
    strong.received(Position(1))
    strong.sampled(SYNCHRONOUS)
    strong.received(Position(2))
    strong.received(Position(3))
    time.sleep(0.02)
    strong.reported(Position(2))
    assert shown(metrics, "cdc_strong_commit_seconds_count") == 1
    waited = shown(metrics, "cdc_strong_commit_seconds_sum")
    assert waited is not None
    assert waited >= 0.02
