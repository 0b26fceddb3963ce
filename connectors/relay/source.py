"""The ordered log of a relay as a `Source`: changes come from Kafka, all else from PostgreSQL."""

from __future__ import annotations

import os
import select
import weakref
from contextlib import nullcontext
from typing import TYPE_CHECKING

from cdc_daemon.errors import NotYetError, RetryError, SourceError, StartAgainError
from cdc_daemon.ports import CHUNK_BYTES
from connectors.postgres.database import Database
from connectors.postgres.lsn import format_lsn
from connectors.postgres.standbynames import daemon_name
from connectors.postgres.timelines import read_timeline
from connectors.postgres.visibility import read_snapshot
from connectors.postgres.waitingcommits import commits_let_go, let_commit_go
from connectors.relay.clock import RelayedClock
from connectors.relay.config import RelayConfig
from connectors.relay.doctor import examine
from connectors.relay.fetching import Fetching
from connectors.relay.following import Followed, Following
from connectors.relay.group import RelayGroup
from connectors.relay.grouprights import replicas
from connectors.relay.recent import LogChunkReader, recent
from connectors.relay.searching import begins_at, offset_after, shared_of_earlier, shared_until
from connectors.relay.tables import memberships, reasons
from connectors.relay.topic import LogTopic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from cdc_daemon.events import Coverage, Event, Position, Relation
    from cdc_daemon.ports import (
        ChunkReader,
        Finding,
        Group,
        ShapeReader,
        SourceClock,
        TableRequest,
        TokenReader,
        Visibility,
    )
    from connectors.relay.topic import Found


class RelaySource:
    """Follows one log. One thread owns it, but for `wake`. Any number may follow the same log."""

    config_model = RelayConfig

    def __init__(self, config: RelayConfig, *, pipeline: str) -> None:
        self._config = config
        self._pipeline = pipeline
        self._client_id = f"cdc-daemon.{pipeline}"
        self._relay = None if config.relay is None else daemon_name(config.relay)
        """What it calls itself as a standby, where commits may wait for it."""
        self._database = Database(
            config.dsn.get_secret_value(), daemon_name(pipeline), config.columns
        )
        self._log = LogTopic(config, config.log, self._client_id)
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake_fd)  # not in `close`: others may still wake us
        self._recent: frozenset[int] = frozenset()
        """Transactions before a new place that may not be visible yet."""
        self._prepared: Found | None = None
        """The last message when it was looked at what the log has."""
        self._fetching: Fetching | None = None
        self._following: Following | None = None

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Look tables up in the catalog; what the rules of `columns` protect comes protected."""
        return self._database.describe(tables)

    def identity(self) -> str:
        """System identifier and timeline of the database."""
        return str(self._database.identity())

    def shared_until(self, source_id: str) -> Position:
        """How far the log of the server is; after a failover, where the relay has followed it."""
        here, other = self._database.identity(), read_timeline(source_id)
        if here.system == other.system and here.number > other.number:
            self._last_of_ours()
            return shared_until(self._log, str(here))
        return self._database.shared_until(source_id)

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Check tables and rights, and that the log has every table; makes nothing."""
        self._end_stream()
        candidates, problems = self._database.candidates(relations)
        for candidate in candidates:
            problems.extend(self._database.reading_reasons(candidate))
        problems.extend(self._database.server_reasons())
        last = self._prepared = self._last_of_ours()
        problems.extend(reasons(last.head, relations))
        if problems:
            raise SourceError("\n".join(problems))
        self._database.warn_of_unknown_types(relations)
        return memberships(last.head, self._log.identity(), candidates)

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """By what the log says of itself."""
        candidates, _ = self._database.candidates(relations)
        return memberships(self._last_of_ours().head, self._log.identity(), candidates)

    def keeps_place(self, relations: Sequence[Relation]) -> bool:  # noqa: ARG002 - whichever they are
        """Always: nothing is kept for one reader."""
        return True

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:
        """Look at everything that could keep the relations from being followed."""
        yield from examine(self._database, self._log, subjects)
        yield replicas(self._config, self._pipeline)

    def held_by(self) -> str | None:
        """Nobody: any number may read."""
        self._end_stream()
        return None

    def place(self) -> Position | None:
        """Where what is kept of the log begins."""
        return begins_at(self._log)

    def create_place(self) -> Position:
        """The end of the log."""
        self._end_stream()
        last = self._last_of_ours()
        self._recent = recent(self._log, last)
        return last.place.position

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> ChunkReader:
        """Reads them, for another thread."""
        reader = self._database.chunk_reader(None, None, chunk_bytes)
        return LogChunkReader(reader, self._recent)

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,  # noqa: ARG002 - they always are
        silence_seconds: float | None = None,  # noqa: ARG002 - nobody waits for us
    ) -> None:
        """Read on from the first transaction that ends beyond `after`."""
        self._end_stream()
        last = self._last_of_ours()
        begins = begins_at(self._log)
        if begins is None or after < begins:
            raise StartAgainError(
                f"the log doesn't have what came after {format_lsn(after)} any more"
            )
        offset = offset_after(self._log, last.head.source_id, after)
        found = self._prepared or last
        followed = Followed(relations, found.head, found.offset)
        self._following = Following(followed, self._database.order)
        self._fetching = Fetching(
            *(self._config, self._log, self._client_id),
            offset=offset,
            wake_fd=self._wake_fd,
        )
        self._recent = frozenset()  # readers that are made from now on are for what comes later

    def read(self, timeout_seconds: float) -> Sequence[Event]:
        """What has come of the log."""
        if self._fetching is None or self._following is None:
            raise RetryError("the stream has not been started", reason="disconnected")
        if not (fetched := self._fetching.take()):
            select.select([self._wake_fd], [], [], timeout_seconds)
            self._forget_wakes()
            fetched = self._fetching.take()
        return self._following.events(fetched)

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:
        """Nothing is kept for one reader."""

    def starting(self) -> AbstractContextManager[None]:
        """Commits may wait for the relay, and that for us."""
        if self._relay is None:
            return nullcontext()
        return commits_let_go(self._database.dsn, self._database.name, self._relay)

    def let_commit_go(self, xid: int) -> None:
        """The same of one that has altered a table."""
        if self._relay is not None:
            let_commit_go(self._database.queries(), self._relay, xid)

    def give_up_place(self) -> None:
        """There is none of ours."""
        self._end_stream()

    def show(self, position: Position) -> str:
        """The position as PostgreSQL writes an LSN."""
        return format_lsn(position)

    def wake(self) -> None:
        """Make a waiting `read` return."""
        os.eventfd_write(self._wake_fd, 1)

    def clock(self) -> SourceClock:
        """The server's clock, for another thread."""
        if self._config.relay is not None:
            return RelayedClock(self._database, self._config.relay)
        return self._database.clock()

    def token_reader(self) -> TokenReader:
        """Knows the server's timeline, and of those before it what the log has."""
        here = self._database.identity()
        return self._database.token_reader(shared_of_earlier(self._log, here))

    def shape_reader(self) -> ShapeReader:
        """Reads what tables look like, for another thread."""
        return self._database.shape_reader()

    def coverage(self) -> Coverage:
        """What is visible now."""
        return self._database.coverage()

    def visibility(self, seen: str) -> Visibility:
        """What a snapshot sees, as the server writes it."""
        return read_snapshot(seen)

    def group(self, sink: str) -> Group:
        """Consumer groups of the cluster that has the log."""
        return RelayGroup(self._config, self._pipeline, sink)

    def close(self) -> None:
        """Close the connections. Safe to call twice."""
        self._end_stream()
        self._log.close()
        self._database.close()

    def _last_of_ours(self) -> Found:
        """The last message of the log. Raises RetryError: it is of another history, or none is."""
        here = self._database.identity()
        self._log.identity()
        last = self._log.last()
        if last is None:
            raise NotYetError(
                f"topic {self._log.name} is empty: the relay has written nothing yet, or nothing "
                "for longer than its retention. This goes on once it writes: start the relay, if "
                "it doesn't run",
                reason="empty",
            )
        if last.head.source_id != str(here):
            raise RetryError(
                f"the relay of topic {self._log.name} follows {last.head.source_id}, and "
                f"source.dsn leads to {here}: where there was a failover, one of the two has yet "
                "to follow it; otherwise they are two databases, and source.dsn or source.log is "
                "another one's",
                reason="failover",
            )
        return last

    def _forget_wakes(self) -> None:
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            return

    def _end_stream(self) -> None:
        if self._fetching is not None:
            self._fetching.stop()
        self._fetching = self._following = None
