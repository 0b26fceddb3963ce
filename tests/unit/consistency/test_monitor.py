"""The monitor and its collector: sampling in a thread, and the metrics of a scrape."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import pytest
from structlog.testing import capture_logs

from cdc_daemon.consistency import monitor as module
from cdc_daemon.consistency.collector import DelayCollector
from cdc_daemon.consistency.delays import STAGES
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.errors import RetentionLimitError, RetryError, SourceError
from cdc_daemon.events import Position
from cdc_daemon.metrics import Metrics
from cdc_daemon.ports import RetentionBounds, SlotHealth
from tests.generators.conditions import wait_until
from tests.generators.scripted_source import MemoryClock

if TYPE_CHECKING:
    from collections.abc import Iterator

DELAY = "cdc_replication_delay_seconds"


class Bench(NamedTuple):
    """A monitor that samples every 20 ms, and what it looks at."""

    monitor: Monitor
    clock: MemoryClock
    metrics: Metrics

    def value(self, name: str, **labels: str) -> float | None:
        """A sample of the metrics; of all read models together, where a stage is given."""
        if "stage" in labels:
            labels["projection"] = ""
        return self.metrics.registry.get_sample_value(name, {"pipeline": "pipe", **labels})

    def reach(self, position: int) -> None:
        """All stages have reached it."""
        self.monitor.delays.advanced(**dict.fromkeys(STAGES, Position(position)))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Not started yet; ended afterwards."""
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.02)
    monkeypatch.setattr(module, "NUDGE_AFTER_SECONDS", 0.1)
    clock, metrics = MemoryClock(), Metrics("pipe", 1)
    monitor = Monitor(clock, metrics)
    metrics.registry.register(DelayCollector(monitor, "pipe"))
    yield Bench(monitor, clock, metrics)
    monitor.stop()
    if monitor.is_alive():
        monitor.join(5)
        assert clock.closed


def test_the_delay_rises_when_nothing_is_reached_and_falls_when_it_is(bench: Bench) -> None:
    """Each stage has its own delay and watermark."""
    bench.clock.position = Position(5)
    bench.clock.ahead_seconds = 3600
    bench.monitor.start()
    bench.monitor.delays.advanced(received=Position(9))
    time.sleep(0.4)
    assert bench.value(DELAY, stage="received") == pytest.approx(0, abs=0.1)
    behind = bench.value(DELAY, stage="searchable")
    assert behind is not None
    assert behind > 0.3
    assert bench.value("cdc_watermark_timestamp_seconds", stage="searchable") is None
    bench.reach(9)
    time.sleep(0.1)
    assert bench.value(DELAY, stage="searchable") == pytest.approx(0, abs=0.1)
    most = bench.value("cdc_replication_delay_max_seconds", stage="searchable")
    assert most is not None
    assert most >= behind
    watermark = bench.value("cdc_watermark_timestamp_seconds", stage="searchable")
    assert watermark == pytest.approx(time.time() + 3600, abs=1)
    assert bench.value("cdc_source_clock_offset_seconds") == pytest.approx(3600, abs=0.5)


def test_a_source_that_is_away_makes_the_delay_rise_and_hides_its_slot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot's numbers are left out, not frozen; all comes back by itself."""
    monkeypatch.setattr("cdc_daemon.consistency.delay.SAMPLE_SECONDS", 0.02)
    bench.monitor.start()
    assert wait_until(lambda: bench.value("cdc_slot_active", slot="slot") == 1, 2)
    assert bench.value("cdc_slot_retained_wal_bytes", slot="slot") == 10
    assert bench.value("cdc_slot_unconfirmed_wal_bytes", slot="slot") == 5
    assert bench.value("cdc_slot_safe_wal_bytes", slot="slot") is None
    bench.clock.failure = RetryError("gone")
    assert wait_until(lambda: bench.value("cdc_slot_active", slot="slot") is None, 2)
    time.sleep(0.3)
    delay = bench.value(DELAY, stage="received")
    assert delay is not None
    assert delay > 0.2
    bench.clock.failure = None
    assert wait_until(lambda: bench.value("cdc_slot_active", slot="slot") == 1, 2)
    assert bench.value(DELAY, stage="received") == pytest.approx(0, abs=0.1)


def test_a_slot_that_is_forgotten_during_a_scrape_breaks_nothing(bench: Bench) -> None:
    """The monitor's thread may lose the source between two lines of a scrape."""
    looks = iter([SlotHealth("slot", True, 10, 5, 7), None])  # noqa: FBT003 - active

    class Forgetful(Monitor):
        slot_health = property(lambda _: next(looks), lambda _, __: None)  # once only

    monitor = Forgetful(bench.clock, bench.metrics)
    names = [family.name for family in DelayCollector(monitor, "pipe").collect()]
    assert "cdc_slot_safe_wal_bytes" in names


def test_a_position_that_is_not_reached_is_nudged_once(bench: Bench) -> None:
    """A half flushed record of an idle source is pushed on, and not again and again."""
    bench.clock.position = Position(5)
    bench.monitor.start()
    assert wait_until(lambda: bench.clock.nudges == 1, 2)
    time.sleep(0.2)
    assert bench.clock.nudges == 1


def test_a_nudge_that_was_lost_is_tried_again(bench: Bench) -> None:
    """Otherwise the delay would rise until something is written by chance."""
    bench.clock.position = Position(5)
    bench.clock.nudge_failure = RetryError("gone")
    bench.monitor.start()
    assert wait_until(lambda: bench.clock.nudges >= 2, 2)
    bench.clock.nudge_failure = None
    time.sleep(0.1)
    before = bench.clock.nudges
    time.sleep(0.2)
    assert bench.clock.nudges == before


def test_a_nudge_that_is_not_allowed_does_not_end_sampling(bench: Bench) -> None:
    """The delay goes on being known."""
    bench.clock.position = Position(5)
    bench.clock.nudge_failure = SourceError("not allowed")
    bench.monitor.start()
    assert wait_until(lambda: bench.clock.nudges >= 1, 2)
    time.sleep(0.1)
    assert bench.monitor.is_alive()
    assert wait_until(lambda: bench.monitor.slot_health is not None, 2)


def test_latencies_are_in_the_source_clock(bench: Bench) -> None:
    """A source whose clock is an hour ahead shows no latency of minus an hour."""
    bench.clock.ahead_seconds = 3600
    bench.monitor.start()
    assert wait_until(lambda: bench.monitor.delays.clock_offset_seconds is not None, 2)
    bench.monitor.delays.committed(Position(7), time.time() + 3600 - 2)
    bench.reach(8)
    for stage in STAGES:
        assert bench.value("cdc_end_to_end_latency_seconds_count", stage=stage) == 1
        total = bench.value("cdc_end_to_end_latency_seconds_sum", stage=stage)
        assert total == pytest.approx(2, abs=0.5)


def test_each_step_of_what_the_source_keeps_is_said_once(bench: Bench) -> None:
    """Up and down again, with the metrics of the step and of what is left."""
    bounds = RetentionBounds(warn_bytes=100, critical_bytes=1000, limit_bytes=5000)

    def keeps(retained_bytes: int, step: int) -> None:
        bench.clock.health = SlotHealth("slot", True, retained_bytes, 0, None, bounds)  # noqa: FBT003 - active
        assert wait_until(lambda: bench.value("cdc_slot_wal_step", slot="slot") == step, 2)

    with capture_logs() as events:
        bench.monitor.start()
        for retained_bytes, step in ((99, 0), (150, 1), (160, 1), (1500, 2), (10, 0)):
            keeps(retained_bytes, step)
            assert wait_until(
                lambda left=5000 - retained_bytes: (  # type: ignore[misc]  # bound at once
                    bench.value("cdc_slot_wal_left_bytes", slot="slot") == left
                ),
                2,
            )
        time.sleep(0.1)
    said = [(event["event"], event["log_level"], event["step"]) for event in events]
    assert said == [
        ("retained_wal_high", "warning", "warn"),
        ("retained_wal_high", "warning", "critical"),
        ("retained_wal_fell", "info", "quiet"),
    ]
    bench.monitor.raise_failure()


def test_a_limit_that_gives_the_place_up_ends_the_sampling(bench: Bench) -> None:
    """Whoever asks the monitor then gets the reason."""
    bench.clock.failure = RetentionLimitError("too much")
    bench.monitor.start()
    bench.monitor.join(2)
    assert bench.clock.closed
    with pytest.raises(RetentionLimitError, match="too much"):
        bench.monitor.raise_failure()
