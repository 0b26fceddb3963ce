"""The guard: a physical standby in name only, for which no commit ever has to wait.

It stands behind the daemon in `synchronous_standby_names`. While the daemon is away the server
asks the next one, and that is the guard: it has received everything, and says so. It keeps nothing,
needs no slot, and is its own process, so that it lives when the daemon dies.
"""

from __future__ import annotations

import select
import signal
import threading
import time
from contextlib import ExitStack
from struct import Struct
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import RetryError
from connectors.postgres.guardhealth import GuardHealth
from connectors.postgres.history import identify
from connectors.postgres.pgoutput import POSTGRES_EPOCH_SECONDS
from connectors.postgres.session import connect, libpq, mapped_errors
from connectors.postgres.standbynames import NAME_BYTES, guard_name

if TYPE_CHECKING:
    from types import FrameType

    from psycopg.pq.abc import PGconn

    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

REPEAT_SECONDS: Final = 0.25
"""How often it says again how far it is. Commits that waited for the daemon when that died are let
go by the guard's next word, and by nothing else."""
LOOK_SECONDS: Final = 1.0
"""How often it looks whether it stands in for the daemon."""
REMIND_SECONDS: Final = 60.0
"""How often it says so again: someone should notice."""
AGAIN_SECONDS: Final = 0.5
"""After a lost connection."""

_WAL_DATA: Final = ord("w")
_KEEPALIVE: Final = ord("k")
_WAL_HEADER: Final = Struct(">qqq")
_KEEPALIVE_END: Final = Struct(">q")
_STATUS: Final = Struct(">cqqqqB").pack

# A role that may not see states sees that nobody follows the slot.
_STANDS_IN: Final = """
select coalesce((select sync_state in ('sync', 'quorum') from pg_catalog.pg_stat_replication
                 where pid = %s and sync_state is not null),
                not coalesce((select active from pg_catalog.pg_replication_slots
                              where slot_name = %s), false))
"""


class Guard:
    """One guard, which runs until a signal."""

    def __init__(self, dsn: str, pipeline: str, slot: str, silence_seconds: float) -> None:
        self._dsn = dsn
        self._name = guard_name(pipeline)
        self._slot = slot
        self._silence_seconds = silence_seconds
        self._ended = threading.Event()
        self._said_at = 0.0
        self.health = GuardHealth()

    def run(self) -> None:
        """Stand by until SIGTERM or SIGINT. Raises SourceError where the server refuses it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        lost = False
        while not self._ended.is_set():
            self.health.came_round = time.monotonic()
            try:
                self._stand_by()
            except RetryError as error:
                if not lost:
                    log.warning("guard_lost", error=str(error))
                lost, self.health.is_connected, self.health.stands_in = True, False, False
                self._ended.wait(AGAIN_SECONDS)
            else:
                lost = False
        log.info("guard_stopped")

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ended.set()

    def _stand_by(self) -> None:
        """Follow one connection until it is lost, or the guard is to end."""
        with ExitStack() as stack:
            replication = connect(
                self._dsn, name=self._name, replication=True, silence_seconds=self._silence_seconds
            )
            stack.callback(replication.close)
            looking = connect(self._dsn, name=f"{self._name}:look"[:NAME_BYTES])
            stack.callback(looking.close)
            stream = PhysicalStream(replication)
            log.info("guard_ready", name=self._name)
            self.health.is_connected = True
            looked_at = 0.0
            while not self._ended.is_set():
                stream.follow(REPEAT_SECONDS)
                self.health.came_round = time.monotonic()
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    self._look(looking, libpq(replication).backend_pid)
                    looked_at = time.monotonic()

    def _look(self, looking: Connection, pid: int) -> None:
        """Say when it stands in, again and again, and when that is over."""
        with mapped_errors("look for the daemon"):
            [(stands_in,)] = looking.execute(_STANDS_IN, [pid, self._slot])
        now = time.monotonic()
        stood_in, self.health.stands_in = self.health.stands_in, stands_in
        if stands_in and (not stood_in or now - self._said_at >= REMIND_SECONDS):
            log.warning("guard_stands_in", slot=self._slot)
            self._said_at = now
        elif stood_in and not stands_in:
            log.info("guard_rests", slot=self._slot)


class PhysicalStream:
    """The server's log, from its end on: read, not kept, and confirmed."""

    def __init__(self, replication: Connection) -> None:
        self._pgconn: PGconn = libpq(replication)
        found = identify(replication)
        self._received = found.end
        self._sent_at = 0.0
        high, low = found.end >> 32, found.end & 0xFFFFFFFF
        timeline = found.timeline.number
        with mapped_errors("start physical replication"):
            replication.execute(
                f"START_REPLICATION PHYSICAL {high:X}/{low:X} TIMELINE {timeline}".encode()
            )
        self._pgconn.nonblocking = 1
        self._poll = select.poll()
        self._poll.register(self._pgconn.socket, select.POLLIN)

    def follow(self, seconds: float) -> None:
        """Read what there is, wait for it at most so long, and confirm it.

        Raises RetryError when the connection is lost.
        """
        before = self._received
        with mapped_errors("follow the server's log"):
            self._poll.poll(seconds * 1000)
            self._pgconn.consume_input()
            self._drain()
            if self._received != before or time.monotonic() - self._sent_at >= seconds:
                self._confirm()

    def _drain(self) -> None:
        while True:
            length, frame = self._pgconn.get_copy_data(1)
            if length == 0:
                return
            if length < 0:
                raise RetryError("the server has ended the stream", reason="disconnected")
            if frame[0] == _WAL_DATA:
                start, _, _ = _WAL_HEADER.unpack_from(frame, 1)
                end = start + length - 1 - _WAL_HEADER.size
            elif frame[0] == _KEEPALIVE:
                (end,) = _KEEPALIVE_END.unpack_from(frame, 1)
            else:
                continue
            self._received = max(self._received, end)

    def _confirm(self) -> None:
        at = int((time.time() - POSTGRES_EPOCH_SECONDS) * 1e6)
        at_end = self._received
        self._pgconn.put_copy_data(_STATUS(b"r", at_end, at_end, at_end, at, 0))
        self._pgconn.flush()
        self._sent_at = time.monotonic()
