"""Which clock says that a poll is due: the calendar, or the time that has passed."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.events import Position
from connectors.polling import polls as polls_module
from connectors.polling.config import PollingConfig
from connectors.polling.polls import Followed, Polls
from connectors.polling.session import Look

if TYPE_CHECKING:
    from collections.abc import Iterator

MIDNIGHT = 1_700_006_400.0
"""2023-11-15 00:00 in UTC."""
UPTIME = 5000.0
HIGH = Position(1_000_000)


class Clocks:
    """Both of a machine, by hand."""

    def __init__(self) -> None:
        self.calendar = MIDNIGHT
        self.passed = UPTIME

    def time(self) -> float:
        """Of the calendar."""
        return self.calendar

    def monotonic(self) -> float:
        """Since the machine was started."""
        return self.passed

    def go_on(self, seconds: float) -> None:
        """Both do."""
        self.calendar += seconds
        self.passed += seconds


class Looked:
    """A session that counts how often a poll begins; the log has stood still, so none goes on."""

    count = 0

    def look(self) -> Look:
        """As a poll begins."""
        self.count += 1
        return Look(Position(0), MIDNIGHT, quiet=True)


class Polling:
    """Polls that were started, and the clocks that they go by."""

    def __init__(self, clocks: Clocks, wake_fd: int, **schedule: str) -> None:
        config = PollingConfig.model_validate({"type": "polling", "dsn": "host=a", **schedule})
        self.clocks = clocks
        self._session = Looked()
        self._polls = Polls(config, wake_fd)
        memory: Any = SimpleNamespace(reached=HIGH, undo=lambda: None, settle=lambda _: None)
        session: Any = self._session
        last: Any = SimpleNamespace(position=HIGH)
        self._polls.start(Followed(session, memory, [], "here"), last)

    def begun(self) -> int:
        """How many polls have begun, once those that are due by now have."""
        for _ in range(3):
            assert self._polls.read(0) == []
        return self._session.count


@pytest.fixture
def wake_fd() -> Iterator[int]:
    """Nobody wakes."""
    made = os.eventfd(0, os.EFD_NONBLOCK)
    yield made
    os.close(made)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Those that polls go by."""
    made = Clocks()
    monkeypatch.setattr(polls_module, "time", made)
    return made


def test_cron_goes_by_the_calendar(clocks: Clocks, wake_fd: int) -> None:
    """The next poll is at the hour, also where the clock was set; the time that passes is none."""
    clocks.go_on(1800)
    polling = Polling(clocks, wake_fd, cron="0 * * * *")
    assert polling.begun() == 1
    clocks.go_on(1799)
    assert polling.begun() == 1
    clocks.go_on(1)
    assert polling.begun() == 2, "at 01:00"
    clocks.calendar += 3600
    assert polling.begun() == 3, "it is 02:00 by now, whatever has passed"
    clocks.passed += 7200
    assert polling.begun() == 3


def test_an_interval_goes_by_the_time_that_passes(clocks: Clocks, wake_fd: int) -> None:
    """A clock that is set neither brings the next poll nor delays it."""
    polling = Polling(clocks, wake_fd, interval="1h")
    assert polling.begun() == 1
    clocks.calendar += 86_400
    assert polling.begun() == 1
    clocks.calendar -= 2 * 86_400
    clocks.passed += 3600
    assert polling.begun() == 2
