"""Somebody watches the source while a start is retried, and what was found ends the next run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.consistency import monitor as module
from cdc_daemon.consistency.watching import Watching
from cdc_daemon.errors import CdcError, RetentionLimitError, RetryError
from cdc_daemon.metrics import Metrics
from tests.generators.conditions import wait_until
from tests.generators.scripted_source import MemoryClock, ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.consistency.monitor import Monitor


class Watched(ScriptedSource):
    """A source whose clocks are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.clocks: list[MemoryClock] = []
        self.is_stuck = False

    def clock(self) -> MemoryClock:
        """One more."""
        self.clocks.append(MemoryClock())
        return self.clocks[-1]

    def give_up_place(self) -> None:
        """Unless somebody uses it."""
        if self.is_stuck:
            raise CdcError("the slot is active")
        super().give_up_place()


class Bench:
    """What one process has."""

    def __init__(self) -> None:
        self.source = Watched()
        self.shown: list[Monitor] = []
        metrics = Metrics("pipe", 1)
        self.watching = Watching(self.source, metrics, self.shown.append, None, None)

    def retry(self) -> None:
        """A start that can't come through."""
        with pytest.raises(RetryError), self.watching.limited():
            raise RetryError("the sink is away", reason="unavailable")
        self.watching.go_on()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Ended afterwards."""
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.02)
    made = Bench()
    yield made
    made.watching.forget()
    for monitor in made.shown:
        if monitor.ident is not None:
            monitor.join(5)
            assert not monitor.is_alive()


def test_the_first_start_is_watched_once_it_came_through(bench: Bench) -> None:
    """Before that a source that isn't there is a mistake to report, and not to watch."""
    with bench.watching.limited():
        (shown,) = bench.shown
        assert not shown.is_alive()
        assert bench.watching.followed() is shown
        assert shown.is_alive()
        assert bench.watching.followed() is shown, "a table has changed"


def test_what_is_kept_is_known_while_a_start_is_retried(bench: Bench) -> None:
    """By one monitor, however often; a start that comes through begins anew."""
    bench.retry()
    (shown,) = bench.shown
    assert wait_until(lambda: shown.slot_health is not None, 2)
    bench.retry()
    assert len(bench.shown) == 1
    with bench.watching.limited():
        assert shown.is_alive()
        follows = bench.watching.followed()
    assert follows is bench.shown[1]
    assert wait_until(lambda: not shown.is_alive() and follows.slot_health is not None, 2)
    assert bench.source.clocks[0].closed


def test_the_limit_ends_a_start_that_is_retried(bench: Bench) -> None:
    """The place is given up before the reason is told."""
    bench.retry()
    bench.source.clocks[0].failure = RetentionLimitError("too much")
    bench.shown[0].join(5)
    bench.watching.go_on()  # it has ended, and nobody begins it again
    with pytest.raises(RetentionLimitError, match=r"^too much$"), bench.watching.limited():
        pytest.fail("nothing begins any more")
    assert "place given up" in bench.source.said


def test_a_watch_that_fails_ends_the_next_run(bench: Bench) -> None:
    """Nobody would know what the source keeps."""
    bench.retry()
    bench.source.clocks[0].failure = ZeroDivisionError("no such thing")  # a mistake of ours
    bench.shown[0].join(5)
    with pytest.raises(ZeroDivisionError), bench.watching.limited():
        pytest.fail("nothing begins any more")
    assert "place given up" not in bench.source.said
    assert bench.source.clocks[0].closed


def test_a_place_that_cannot_be_given_up(bench: Bench) -> None:
    """Whoever reads the reason is to do it by hand."""
    bench.source.is_stuck = True
    with (
        pytest.raises(RetentionLimitError, match=r"too much\. That failed: the slot is active"),
        bench.watching.limited(),
    ):
        raise RetentionLimitError("too much")


def test_nobody_watches_what_is_another_daemons_concern(bench: Bench) -> None:
    """Until this one is to follow it."""
    bench.retry()
    bench.watching.forget()
    assert wait_until(lambda: bench.source.clocks[0].closed, 2)
    with bench.watching.limited():
        assert bench.watching.followed() is bench.shown[-1]
    assert len(bench.shown) == 2
