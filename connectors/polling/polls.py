"""The polls of one process, one after the other: when, at which position, and what they came to."""

from __future__ import annotations

import os
import select
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.errors import RetryError
from cdc_daemon.events import NOWHERE, Position
from cdc_daemon.ports import PollReport
from connectors.polling.beside import Beside
from connectors.polling.poll import UnderWay
from connectors.polling.timetable import Timetable
from connectors.postgres.claiming import position_of_read
from connectors.postgres.reads import Reads
from connectors.postgres.visibility import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Event
    from connectors.polling.config import PollingConfig
    from connectors.polling.kept import Poll
    from connectors.polling.memory import Memory
    from connectors.polling.session import Session
    from connectors.polling.tables import Table

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Followed:
    """What is polled, and by which connection."""

    session: Session
    memory: Memory
    tables: Sequence[Table]
    source_id: str


class Polls:
    """One thread polls; `want`, `begun`, `reads`, `beside` and `report` are for others as well."""

    def __init__(self, config: PollingConfig, wake_fd: int) -> None:
        self._on_demand = config.on_demand
        # A clock that is set must not delay what isn't said in words of the calendar.
        self._now = time.monotonic if config.cron is None else time.time
        self._timetable = Timetable(config.schedule)
        self._wake_fd = wake_fd
        self.reads = Reads()
        self.beside = Beside()
        self._followed: Followed | None = None
        self._last: Poll | None = None
        self._under_way: UnderWay | None = None
        self._pieces: Iterator[Sequence[Event]] = iter(())
        self._began = 0.0
        self._begun = NOWHERE
        self._wanted = NOWHERE
        self._still: Position | None = None
        """Where the log ended at the last poll, if nobody was writing: all of that has come."""
        self._durable = NOWHERE
        self._settled = NOWHERE
        self.report = PollReport()
        """What has been done until now; replaced as a whole."""

    def start(self, followed: Followed, last: Poll) -> None:
        """Poll after `last`; the first time at once."""
        self.stop()
        self._followed, self._last, self._still = followed, last, None
        self._begun = Position(_highest(last, followed.memory) + 1)
        self.beside.begin_again()
        self._timetable.again()

    def stop(self) -> bool:
        """Poll no more; whether a poll was under way, and its session amid it."""
        was_under_way = self._under_way is not None
        self._pieces, self._under_way = iter(()), None
        if self._followed is not None:
            self._followed.memory.undo()
            self._followed = None
        return was_under_way

    def read(self, timeout_seconds: float) -> Sequence[Event]:
        """The next events of the poll that is under way, or that is due by now."""
        if self._followed is None or self._last is None:
            raise RetryError("polling has not been started", reason="disconnected")
        if self._under_way is None:
            wait = self._timetable.wait_seconds(self._now(), awaited=self._wanted > self._begun)
            if self._settled < self._durable:
                self._settled = self._durable
                self._followed.memory.settle(self._durable)
            if wait > 0:
                self._sleep(min(timeout_seconds, wait))
            else:
                self._begin(self._followed, self._last)
            return []
        piece = next(self._pieces, None)
        if piece is None:
            self._end(self._under_way)
            return []
        return piece

    def begun(self) -> Position:
        """The position of the last poll that has begun, or a lower one than the first will have."""
        return self._begun

    def settle(self, durable: Position) -> None:
        """No start goes on from before this position."""
        self._durable = durable

    def want(self, position: Position) -> None:
        """Somebody waits for this position."""
        self._wanted = max(self._wanted, position) if self._on_demand else NOWHERE

    def _begin(self, followed: Followed, last: Poll) -> None:
        self._timetable.begin(self._now())
        self._began = time.monotonic()
        look = followed.session.look()
        before = _highest(last, followed.memory)
        position = position_of_read(before, look.end, quiet=look.quiet)
        if position is None or (self._still == look.end and not _is_overdue(followed, last)):
            return  # nothing was written: nothing can have changed
        self._still = look.end if look.quiet else None
        self._begun = position  # before its snapshot: a chunk that sees it must wait for it
        self._under_way = UnderWay(
            followed.session,
            followed.memory,
            followed.tables,
            last,
            followed.source_id,
            began=lambda seen: self.reads.add(read_snapshot(seen)),
            beside=self.beside,
        )
        self._pieces = self._under_way.pieces(position, look.time)
        self.report = replace(self.report, started_at=time.time())

    def _end(self, poll: UnderWay) -> None:
        self._last, self._under_way = poll.poll, None
        took = time.monotonic() - self._began
        count, before = poll.count, self.report
        wait = self._timetable.wait_seconds(self._now(), awaited=False)
        self.report = replace(
            before,
            polls=before.polls + 1,
            missed=self._timetable.missed,
            rows_read=before.rows_read + count.rows_read,
            rows_changed=before.rows_changed + count.rows_changed,
            seconds=took,
            next_at=time.time() + wait,
        )
        log.info(
            "polled",
            rows_read=count.rows_read,
            rows_changed=count.rows_changed,
            seconds=round(took, 3),
        )

    def _sleep(self, seconds: float) -> None:
        """Until somebody wakes us."""
        ready, _, _ = select.select([self._wake_fd], [], [], seconds)
        if ready:
            os.eventfd_read(self._wake_fd)


def _is_overdue(followed: Followed, last: Poll) -> bool:
    """Whether a table is to be compared that other polls don't compare."""
    now = time.time()
    return any(
        table.config.compare is not None and table.is_compared(last.bounds[table.name], now)
        for table in followed.tables
    )


def _highest(last: Poll, memory: Memory) -> Position:
    """No poll had a higher position."""
    return max(last.position, memory.reached)
