"""The replication connection: frames in, status updates out. The only module that waits on it.

psycopg has no replication API; this speaks the streaming replication protocol through psycopg's
documented libpq layer (`pq`). One thread owns the connection; only `wake` may be called by others.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from struct import Struct
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import pq

from cdc_daemon.errors import CdcError, RetryError, SourceError, StartAgainError
from connectors.postgres.located import LocatedData
from connectors.postgres.pgoutput import POSTGRES_EPOCH_SECONDS
from connectors.postgres.session import libpq, mapped_errors
from connectors.postgres.undecodable import UndecodableError, passes

if TYPE_CHECKING:
    from connectors.postgres.session import Connection

_WAL_DATA: Final = ord("w")
_KEEPALIVE: Final = ord("k")
_WAL_HEADER_BYTES: Final = 25
_WAL_START: Final = Struct(">q").unpack_from
_KEEPALIVE_BODY: Final = Struct(">qqB").unpack_from
_STATUS: Final = Struct(">cqqqqB").pack
_UNDEFINED_OBJECT: Final = "42704"
_NOT_IN_PREREQUISITE_STATE: Final = "55000"

NAP_SECONDS: Final = 0.002
"""The walsender sends message by message. A reader that wakes for each spends most of its time on
waking; after a busy round it naps once, and finds a bufferful (measured: 3 times less CPU)."""
BUSY_ROUND_MESSAGES: Final = 64
READ_LIMIT_BYTES: Final = 2_000_000
"""Large rows must not pile up between two looks at the memory in use."""

REPLY_SECONDS: Final = 0.05
"""The server is answered this soon when it asks. It asks again for as long as what is durable lies
behind and it is shutting down: answering each at once would be a race of two processes."""
QUIET_SECONDS: Final = 1.0
SHUTDOWN_PATIENCE_SECONDS: Final = 10.0
"""A server that shuts down waits for us for ever. If we get no further (the sink is down, say) we
leave, and let it."""
STATUS_SHARE: Final = 3
"""A status goes out three times within wal_sender_timeout, so that the server needn't ask."""
_SENDER_TIMEOUT: Final = (
    b"select setting::float8 / 1000 from pg_catalog.pg_settings where name = 'wal_sender_timeout'"
)


_SKIPPED: Final = "skipped loading publication"


class Keepalive:
    """The server's word on how far it has sent everything."""

    __slots__ = ("end", "reply_requested")

    def __init__(self, end: int, *, reply_requested: bool) -> None:
        self.end = end
        self.reply_requested = reply_requested


class ReplicationStream:
    """START_REPLICATION on a connection of its own."""

    def __init__(
        self, connection: Connection, status_interval_seconds: float, wake_fd: int
    ) -> None:
        self._connection = connection
        self._pgconn = libpq(connection)
        self._status_interval_seconds = status_interval_seconds
        self._status = (0, 0, 0)
        self._status_sent_at = 0.0
        self._wake_fd = wake_fd
        """An eventfd: writing to it makes a waiting `read` return."""
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)
        self._busy = 0
        self._skipped = ""
        self._asked = False
        self._asked_at = self._asking_since = 0.0
        self.locates = False
        """Whether every message is to say where in the log it stands (`LocatedData`)."""

    def start(
        self,
        slot: str,
        publication: str,
        after: int,
        *,
        origin: str = "any",
        whole: bool = False,
        messages: bool = False,
    ) -> None:
        """Begin streaming; raises SourceError or RetryError if the server won't."""
        high, low = after >> 32, after & 0xFFFFFFFF
        quoted = publication.replace('"', '""').replace("'", "''")
        # The option came with PostgreSQL 16, and so it isn't there where it isn't needed.
        by_origin = "" if origin == "any" else f", origin '{origin}'"
        with_messages = ", messages 'true'" if messages else ""
        command = (
            f'START_REPLICATION SLOT "{slot}" LOGICAL {high:X}/{low:X} '
            f"(proto_version '2', streaming '{'off' if whole else 'on'}', "
            f"publication_names '\"{quoted}\"'{by_origin}{with_messages})"
        )
        self._connection.add_notice_handler(self._hear)
        with mapped_errors("start replication"):
            found = self._connection.execute(_SENDER_TIMEOUT).fetchone()
            if found is not None and found[0]:
                often = found[0] / STATUS_SHARE
                self._status_interval_seconds = min(self._status_interval_seconds, often)
            self._connection.execute(command.encode())
        self._pgconn.nonblocking = 1
        self._poll.register(self._pgconn.socket, select.POLLIN)

    def read(self, limit: int, timeout_seconds: float) -> list[bytes | Keepalive]:
        """Return up to `limit` messages; waits only when there is none yet.

        Raises RetryError when the connection is lost.
        """
        messages: list[bytes | Keepalive] = []
        with mapped_errors("read from the replication slot"):
            taken = self._take_buffered(messages, limit)
            if not messages and self._pgconn.ssl_in_use:
                # OpenSSL may hold bytes that the socket no longer shows: never sleep on them.
                self._pgconn.consume_input()
                taken = self._take_buffered(messages, limit)
            if not messages and self._wait(timeout_seconds):
                taken = self._take_buffered(messages, limit)
            while 0 < len(messages) < limit and taken < READ_LIMIT_BYTES and self._more_to_come():
                taken += self._take_buffered(messages, limit)
        if self._skipped:
            raise _without_publication(self._skipped)
        self._busy = len(messages)
        self._keep_alive()
        return messages

    def _take_buffered(self, messages: list[bytes | Keepalive], limit: int) -> int:
        """Append what libpq holds already; return how many bytes that were."""
        append = messages.append
        get = self._pgconn.get_copy_data
        locates = self.locates
        taken = 0
        while len(messages) < limit and taken < READ_LIMIT_BYTES:
            length, frame = get(1)
            if length <= 0:
                if length < 0:
                    raise self._why_ended()
                break
            taken += length
            data = bytes(frame)
            if data[0] == _WAL_DATA:
                message = data[_WAL_HEADER_BYTES:]
                append(LocatedData.at(_WAL_START(data, 1)[0], message) if locates else message)
            elif data[0] == _KEEPALIVE:
                end, _, reply = _KEEPALIVE_BODY(data, 1)
                append(Keepalive(end, reply_requested=bool(reply)))
                if reply:
                    self._note_question()
        return taken

    def _more_to_come(self) -> bool:
        """Whether bytes are waiting on the socket; takes them in."""
        if self._busy >= BUSY_ROUND_MESSAGES:
            time.sleep(NAP_SECONDS)
            self._busy = 0
        return self._wait(0)

    def _wait(self, timeout_seconds: float) -> bool:
        """Wait for the socket and take bytes in; False after the timeout or when woken."""
        if self._asked:
            timeout_seconds = min(timeout_seconds, REPLY_SECONDS)
        ready = dict(self._poll.poll(max(0.0, timeout_seconds) * 1000))
        if self._wake_fd in ready:
            os.eventfd_read(self._wake_fd)
        if self._pgconn.socket not in ready:
            return False
        self._pgconn.consume_input()
        return True

    def report(self, write: int, flush: int, apply: int, *, at_once: bool = False) -> None:
        """Tell the server how far we are: at once if it changed or is asked for."""
        status = (write, flush, apply)
        if status != self._status or at_once:
            self._status = status
            self._send_status()
        else:
            self._keep_alive()

    def _keep_alive(self) -> None:
        """Repeat the last status in time, so that the server knows that we live."""
        due = REPLY_SECONDS if self._asked else self._status_interval_seconds
        if time.monotonic() - self._status_sent_at >= due:
            self._send_status()

    def _note_question(self) -> None:
        """The server wants a status now. Raises RetryError if it has asked in vain for long."""
        now = time.monotonic()
        if now - self._asked_at > QUIET_SECONDS:
            self._asking_since = now
        self._asked, self._asked_at = True, now
        if now - self._asking_since > SHUTDOWN_PATIENCE_SECONDS:
            raise RetryError(
                "the server is shutting down, and waits until what it sent is durable, which takes "
                f"longer than {SHUTDOWN_PATIENCE_SECONDS:g} s: leaving, so that it can go",
                reason="server_stopping",
            )

    def _send_status(self) -> None:
        microseconds = int((time.time() - POSTGRES_EPOCH_SECONDS) * 1e6)
        with mapped_errors("report to the replication slot"):
            self._pgconn.put_copy_data(_STATUS(b"r", *self._status, microseconds, 0))
            self._pgconn.flush()
        self._status_sent_at = time.monotonic()
        self._asked = False

    def _why_ended(self) -> CdcError:
        """What the server said last: most ends pass, but some come again at every start."""
        result = self._pgconn.get_result()
        said = result.error_message.decode(errors="replace") if result else ""
        said = said or self._pgconn.error_message.decode(errors="replace")
        text = f"the replication stream ended: {' '.join(said.split()) or 'the server closed it'}"
        found = result.error_field(pq.DiagnosticField.SQLSTATE) if result else None
        state = found.decode() if found else None
        if state == _UNDEFINED_OBJECT:
            return _without_publication(text)
        if state == _NOT_IN_PREREQUISITE_STATE:
            return StartAgainError(text)
        if not passes(state):
            return UndecodableError(f"{text} (SQLSTATE {state})")
        return RetryError(text, reason="disconnected")

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        """PostgreSQL 18 sends no changes at all without the publication, and only warns."""
        if notice.message_primary and notice.message_primary.startswith(_SKIPPED):
            self._skipped = notice.message_primary

    def close(self) -> None:
        """Close the connection; the slot stays. Safe to call twice."""
        if self._connection.closed:
            return
        if self._pgconn.status == pq.ConnStatus.OK:
            # The server may have gone first: then there is nothing left to end.
            with contextlib.suppress(psycopg.Error):
                self._pgconn.put_copy_end()
                self._pgconn.flush()
        self._connection.close()


def _without_publication(said: str) -> SourceError:
    return SourceError(
        f"the publication is gone: {said}. The server looks it up as of the change that it sends, "
        "so one that is made again does not help. Drop the slot (select "
        "pg_drop_replication_slot(slot_name)) and start again: everything is loaded anew"
    )
