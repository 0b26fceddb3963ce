"""The server that is followed: which history it is in, and whether it is a primary or a standby."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError, SourceError, StartAgainError
from connectors.postgres.chunkreader import PostgresChunkReader, wal_pages
from connectors.postgres.clock import DatabaseClock, PostgresClock
from connectors.postgres.covering import coverage, coverage_of_standby
from connectors.postgres.history import (
    identify,
    look_for_standby,
    shared_until,
    timeline,
    timeline_history,
)
from connectors.postgres.primary import Primary
from connectors.postgres.publishedshapes import PublishedShapeReader
from connectors.postgres.replayed import Replayed
from connectors.postgres.session import connect
from connectors.postgres.standbychunks import StandbyChunkReader
from connectors.postgres.standbyclock import StandbyClock
from connectors.postgres.timelines import Timeline, places_left, read_timeline
from connectors.postgres.tokens import PostgresTokens
from connectors.postgres.visibility import SEES_ALL, read_replayed, read_snapshot
from connectors.postgres.waitingcommits import commits_let_go

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cdc_daemon.events import Coverage, Position
    from cdc_daemon.ports import Visibility
    from connectors.postgres.config import PostgresConfig
    from connectors.postgres.session import Connection
    from connectors.postgres.visibility import SnapshotVisibility

NOBODY_WAITS: Final = (
    "consistency.strong is configured, and source.dsn leads to a standby: commits of the primary "
    "can wait only for streams of its own. Let source.dsn lead to the primary, and take "
    "source.primary_dsn away; or take consistency.strong away: clients can wait by tokens"
)


class FollowedServer:
    """One thread owns it, but for what the clock says. The readers that it makes are for others.

    What is in memory of a stream goes by the numbers of transactions on a primary, and by positions
    on a standby. So where the one becomes the other, all of that begins again.
    """

    def __init__(self, config: PostgresConfig, name: str) -> None:
        self.dsn = config.dsn.get_secret_value()
        self._name = name
        self._primary = None
        if config.primary_dsn is not None:
            self._primary = Primary(config.primary_dsn.get_secret_value(), name)
        self._timeline: Timeline | None = None
        """As it was when it was asked for last; so are the next two."""
        self._is_standby: bool | None = None
        self._queries: Connection | None = None
        self._witness: Connection | None = None
        """A replication connection that says which timeline a standby is in."""
        self._replayed = Replayed()
        self._doubted = threading.Event()

    @property
    def standby_of(self) -> Primary | None:
        """The primary; None where the server is one itself."""
        return self._primary if self._is_standby else None

    def queries(self) -> Connection:
        """The connection for looking around. Raises RetryError on a standby that mayn't be one."""
        if self._queries is None or self._queries.closed:
            connection = connect(self.dsn, name=self._name)
            try:
                is_standby = look_for_standby(connection, may_be=self._may_be_standby)
            except BaseException:
                connection.close()
                raise
            self._queries = connection
            self._know_kind(is_standby=is_standby)
        return self._queries

    def replication(self, silence_seconds: float | None = None) -> Connection:
        """A new replication connection."""
        return connect(self.dsn, name=self._name, replication=True, silence_seconds=silence_seconds)

    def identity(self) -> str:
        """System identifier and timeline."""
        with self.replication() as replication:
            found = identify(replication, may_be_standby=self._may_be_standby)
        if self._timeline not in {None, found.timeline}:
            self.close()  # it may go to the server from before a failover
        self._timeline = found.timeline
        self._know_kind(is_standby=found.is_standby)
        return str(found.timeline)

    def shared_until(self, source_id: str) -> Position:
        """Where timeline `source_id` was left, or how far the log is if it is the server's own."""
        with self.replication() as replication:
            other = read_timeline(source_id)
            return shared_until(replication, other, may_be_standby=self._may_be_standby)

    def token_reader(self) -> PostgresTokens:
        """Knows the server's timeline, and those before it."""
        pages = wal_pages(self.queries())
        with self.replication() as replication:
            here = identify(replication, may_be_standby=self._may_be_standby).timeline
            left = places_left(timeline_history(replication, here))
            return PostgresTokens(here, left, pages)

    def require_same(self, replication: Connection) -> None:
        """Raise RetryError unless that connection goes to the server that was asked last.

        Of several servers in the DSN each connection may find another one, after a failover.
        """
        found = identify(replication, may_be_standby=self._may_be_standby)
        self._require_timeline(found.timeline)
        if self._is_standby not in {None, found.is_standby}:
            raise RetryError("the standby was promoted just now", reason="failover")

    def require_may_stream(self, replication: Connection, silence_seconds: float | None) -> None:
        """The same, and SourceError if commits are to wait for the stream of a standby."""
        self._close_witness()  # with the stream before it may have been cut off as well
        self.require_same(replication)
        if self._is_standby and silence_seconds is not None:
            raise SourceError(NOBODY_WAITS)

    def require_unmoved(self, *, has_read: bool) -> None:
        """Raise RetryError if the stream goes on in another timeline than it was begun in.

        That of a standby isn't cut off when it is promoted, or follows the promotion of another. So
        what was read is of our timeline only if the server, asked afterwards, is still there.
        """
        if self._is_standby and (has_read or self._doubted.is_set()):
            self._doubted.clear()
            if self._witness is None or self._witness.closed:
                self._witness = self.replication()
            self._require_timeline(timeline(self._witness))

    def clock(self, config: PostgresConfig, slot: str) -> PostgresClock | StandbyClock:
        """The server's clock; where it may be a standby, its primary's."""
        own = PostgresClock(self.dsn, self._name, slot, config.wal)
        if self._primary is None:
            return own
        return StandbyClock(own, DatabaseClock(self._primary.dsn, self._name), self._seen)

    def chunk_reader(
        self, before: SnapshotVisibility | None, chunk_bytes: int
    ) -> PostgresChunkReader:
        """Reads rows; `before` is what a new slot's stream leaves out."""
        primary = self.standby_of
        if primary is not None:
            return StandbyChunkReader(self.dsn, self._name, chunk_bytes, primary, self._replayed)
        return PostgresChunkReader(self.dsn, self._name, before, chunk_bytes, self._timeline)

    def shape_reader(self, publication: str) -> PublishedShapeReader:
        """Reads what tables look like, and whether they are published."""
        return PublishedShapeReader(
            *(self.dsn, self._name, publication), lambda: self._timeline, lambda: self._known_kind
        )

    def starts_after(self, position: Position) -> None:
        """What lies before comes in no stream any more: rows are read where it was replayed."""
        self._replayed.note(position)

    def coverage(self) -> Coverage:
        """What is visible now."""
        if self._is_standby:
            return coverage_of_standby(self.queries(), self._replayed)
        return coverage(self.queries())

    def visibility(self, seen: str) -> Visibility:
        """What `Coverage.seen` says.

        Of a standby's coverage the end is all that counts, also once it has been promoted.
        """
        if (replayed := read_replayed(seen)) is not None:
            return replayed if self._is_standby else SEES_ALL
        if self._is_standby:
            raise SourceError(
                "the load of a table that has changed began on a primary, and source.dsn leads to "
                "a standby now, which numbers transactions in another way. Run cdc-daemon slot "
                "drop and start again: everything is loaded anew"
            )
        return read_snapshot(seen)

    def commits_let_go(self) -> AbstractContextManager[None]:
        """While this lasts; on a standby none wait."""
        return nullcontext() if self._is_standby else commits_let_go(self.dsn, self._name)

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        if self._queries is not None:
            self._queries.close()
            self._queries = None
        self._close_witness()

    def _close_witness(self) -> None:
        if self._witness is not None:
            self._witness.close()
            self._witness = None

    def _require_timeline(self, found: Timeline) -> None:
        if self._timeline not in {None, found}:
            raise RetryError(
                f"the server is in timeline {found}, and was in {self._timeline} a moment ago",
                reason="failover",
            )

    @property
    def _may_be_standby(self) -> bool:
        return self._primary is not None

    @property
    def _known_kind(self) -> bool | None:
        return self._is_standby if self._may_be_standby else False

    def _know_kind(self, *, is_standby: bool) -> None:
        before, self._is_standby = self._is_standby, is_standby
        if before not in {None, is_standby}:
            now = "a standby" if is_standby else "a primary"
            raise StartAgainError(f"the server that is followed has become {now}")

    def _seen(self, is_standby: bool, number: int) -> None:  # noqa: FBT001 - as the clock tells it
        """The clock's thread has looked, about once a second."""
        ours = self._timeline
        if ours is not None and (is_standby, number) != (self._is_standby, ours.number):
            self._doubted.set()
