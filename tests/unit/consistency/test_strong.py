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


@pytest.mark.parametrize(
    ("standing", "covers_all", "projection", "is_loaded", "why"),
    [
        (SYNCHRONOUS, True, None, True, ""),
        (SYNCHRONOUS, True, "rooms", True, ""),
        (Standing(), True, "rooms", True, "strong enable"),
        (NAMED, True, "rooms", True, "catching up"),
        (NAMED, True, None, True, "catching up"),
        (SYNCHRONOUS, True, "hotels", True, "exclude names it"),
        (SYNCHRONOUS, False, None, True, "being loaded"),
        (SYNCHRONOUS, True, "rooms", False, "being loaded"),
        (SYNCHRONOUS, False, "rooms", True, ""),
    ],
)
def test_why_commits_do_not_wait_is_said(
    metrics: Metrics,
    standing: Standing,
    covers_all: bool,  # noqa: FBT001 - a parameter of the test
    projection: str | None,
    is_loaded: bool,  # noqa: FBT001 - a parameter of the test
    why: str,
) -> None:
    """Of a read model, or of all that they are to wait for; another one's load is no reason."""
    strong = Strong(metrics, StrongConfig(exclude=["hotels"]))
    assert strong.why_not(projection, is_loaded=is_loaded)
    strong.covers_all = covers_all
    strong.sampled(standing)
    said = strong.why_not(projection, is_loaded=is_loaded)
    assert why in said
    assert bool(said) == bool(why)


def test_commits_that_may_wait_for_a_lost_source_count_as_none(metrics: Metrics) -> None:
    """Nobody knows whether they do."""
    strong = Strong(metrics, StrongConfig())
    strong.sampled(SYNCHRONOUS)
    assert not strong.why_not(None, is_loaded=True)
    strong.lost()
    assert "can't be asked" in strong.why_not(None, is_loaded=True)


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
