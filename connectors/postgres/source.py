"""A PostgreSQL database as a `Source`: slot, publication, first load and stream."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import Begin, Event, Position, Relation, Watermark
from cdc_daemon.ports import CHUNK_BYTES
from connectors.postgres.asstreamed import as_streamed
from connectors.postgres.catalog import column_orders, describe, has_columns, table_oids
from connectors.postgres.config import PostgresConfig
from connectors.postgres.doctor import Patient, examine
from connectors.postgres.followedserver import FollowedServer
from connectors.postgres.heldcommits import committed_before
from connectors.postgres.inheriting import warn_of_children
from connectors.postgres.located import located
from connectors.postgres.lsn import format_lsn
from connectors.postgres.membership import memberships
from connectors.postgres.openwaits import announced_waits
from connectors.postgres.pgoutput import Decoder
from connectors.postgres.preflight import check_source
from connectors.postgres.protection import Protector
from connectors.postgres.publication import find_missing, listed_columns, require_may_publish
from connectors.postgres.publishing import (
    publish,
    publish_on_primary,
    published,
    require_may_publish_on_primary,
)
from connectors.postgres.replayed import numbered_by_position
from connectors.postgres.replication import Keepalive, ReplicationStream
from connectors.postgres.rowplan import tuple_plan, understood, unknown_columns
from connectors.postgres.session import libpq
from connectors.postgres.slots import (
    create_slot,
    drop_slot,
    find_slot,
    require_failover,
    require_place,
    wait_until_free,
)
from connectors.postgres.standbynames import daemon_name
from connectors.postgres.standbyslot import create_standby_slot
from connectors.postgres.tokens import PostgresTokens, PostgresVersions
from connectors.postgres.tracecontext import TraceContexts
from connectors.postgres.tupleplan import RelationMessage, TuplePlan, misfit
from connectors.postgres.undecodable import Attempts, UndecodableError
from connectors.postgres.waitingcommits import let_commit_go, require_ended
from connectors.postgres.walpolicy import warn_if_unbounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from cdc_daemon.events import Change, Coverage
    from cdc_daemon.ports import Finding, TableRequest, Visibility
    from connectors.postgres.chunkreader import PostgresChunkReader
    from connectors.postgres.clock import PostgresClock
    from connectors.postgres.publishedshapes import PublishedShapeReader
    from connectors.postgres.standbyclock import StandbyClock
    from connectors.postgres.visibility import SnapshotVisibility

log = structlog.get_logger(__name__)

READ_LIMIT_MESSAGES: Final = 2000
"""One `read` is at most this much: some milliseconds of work, so that keepalives are answered."""


class PostgresSource:
    """Follows one database through one slot. One thread owns it, but for `wake`."""

    config_model = PostgresConfig

    def __init__(self, config: PostgresConfig, *, pipeline: str) -> None:
        self._config = config
        self._name = daemon_name(pipeline)
        self._server = FollowedServer(config, self._name)
        self._slot = config.slot_name(pipeline)
        self._publication = config.publication_name(pipeline)
        self._protector = Protector(config.columns)
        self._rules_checked = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake_fd)  # not in `close`: others may still wake us
        self._before: SnapshotVisibility | None = None
        """What a new slot's stream leaves out: it was committed before."""
        self._stream: ReplicationStream | None = None
        self._attempts = Attempts()
        self._decoder = Decoder(self._plan_for)
        self._contexts: TraceContexts | None = None
        self._locates = False
        self._streamed: dict[RelationMessage, TuplePlan] = {}
        """Tables as the stream has described them: one that it describes again is the same."""
        self._relations: dict[tuple[str, str], Relation] = {}
        self._oids: dict[Relation, int] = {}
        self._xid = 0
        """The transaction that the stream is in, where changes are located."""

    def locate(self) -> None:
        """Give tables as the stream describes them, and say of each change where it stands."""
        self._locates = True

    def database_name(self) -> str:
        """As the server has it."""
        return self._server.queries().info.dbname

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """Look tables up in the catalog; what the rules of `columns` protect comes protected."""
        formerly = {relation.qualified_name: oid for relation, oid in self._oids.items()}
        relations = describe(self._server.queries(), tables, formerly)
        if tables and not self._rules_checked:
            for _, rule, why in self._protector.require_used(relations):
                log.warning("column_rule_unused", match=rule.match, why=why)
            self._rules_checked = True
        return self._protector.protect(relations)

    def identity(self) -> str:
        """System identifier and timeline."""
        return self._server.identity()

    def shared_until(self, source_id: str) -> Position:
        """Where timeline `source_id` was left, or how far the log is if it is the server's own."""
        return self._server.shared_until(source_id)

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Check server, tables and rights, then make the publication right.

        Returns how each table is a member of it.
        """
        self._end_stream()  # it would hold the slot that is to be free
        connection = self._server.queries()
        check_source(
            connection,
            relations,
            self._slot,
            failover=self._config.failover,
            origin=self._config.origin,
        )
        if (primary := self._server.standby_of) is not None:
            primary.require_same_system(connection)
        warn_if_unbounded(connection, self._slot, self._config.wal)
        wait_until_free(connection, self._slot, self._config.slot_wait)
        manage = self._config.publication.manage
        slot = find_slot(connection, self._slot)
        if slot is not None and not self.keeps_place(relations):
            if primary is None:
                require_may_publish(connection, self._publication, relations)
            else:
                require_may_publish_on_primary(primary, self._publication, relations)
            # First the slot: a crash in between loads anew, the other way round it would lose.
            log.warning(
                "slot_dropped", slot=self._slot, why="the publication lacked what is mapped"
            )
            self.give_up_place()
        elif slot is not None and self._config.failover:
            with self._server.replication() as replication:
                require_failover(replication, slot)
        if primary is None:
            publish(connection, self._publication, relations, manage=manage)
        else:
            publish_on_primary(primary, connection, self._publication, relations, manage=manage)
        warn_of_children(connection, relations)
        for table, column, types in unknown_columns(relations):
            log.warning("type_unknown", table=table, column=column, types=types)
        return published(connection, self._publication, relations)

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Of those that are in the publication."""
        connection = self._server.queries()
        absent = find_missing(connection, self._publication, relations).absent
        found = memberships(connection, self._publication, relations)
        return {name: member for name, member in found.items() if name not in absent}

    def keeps_place(self, relations: Sequence[Relation]) -> bool:
        """Not where the publication left out what changes of the slot then lack."""
        connection = self._server.queries()
        missing = find_missing(connection, self._publication, relations)
        keeps = missing.may_keep_slot(connection.info.server_version)
        return keeps or not (missing and self._config.publication.manage)

    def examine(self, subjects: Sequence[Relation]) -> Iterator[Finding]:
        """Look at everything that could keep the relations from being followed."""
        patient = Patient(self._config, self._name, self._slot, self._publication)
        return examine(patient, subjects)

    def held_by(self) -> str | None:
        """The server's process that our slot is active for. Ours isn't: the stream is ended."""
        self._end_stream()
        slot = find_slot(self._server.queries(), self._slot)
        pid = None if slot is None else slot.active_pid
        return None if pid is None else f"server process {pid}, on replication slot {self._slot}"

    def place(self) -> Position | None:
        """The confirmed position of our slot; None if there is none, or it is lost."""
        slot = find_slot(self._server.queries(), self._slot)
        return None if slot is None or slot.lost else slot.confirmed

    def create_place(self) -> Position:
        """Make the slot anew; its consistent point."""
        self._end_stream()  # it holds the slot
        queries = self._server.queries()
        wait_until_free(queries, self._slot, self._config.slot_wait)
        drop_slot(queries, self._slot)
        if (primary := self._server.standby_of) is not None:
            with self._server.replication() as replication:
                return create_standby_slot(replication, self._slot, primary)
        with self._server.replication() as replication:
            with announced_waits(self._server.dsn, self._name, libpq(replication).backend_pid):
                position, snapshot = create_slot(
                    replication, self._slot, failover=self._config.failover
                )
            try:
                self._before = committed_before(queries, snapshot)
            except BaseException:
                replication.close()
                drop_slot(queries, self._slot)
                raise
        return position

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> PostgresChunkReader:
        """Reads them, for another thread."""
        return self._server.chunk_reader(self._before, chunk_bytes)

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,
        silence_seconds: float | None = None,
    ) -> None:
        """Stream from just after `after`."""
        self._end_stream()
        self._know(relations)
        self._decoder = Decoder(self._plan_for)
        trace = self._config.trace
        self._contexts = TraceContexts(trace.column) if trace.is_wanted else None
        require_place(self._server.queries(), self._slot, after, self._config.slot_wait)
        connection = self._server.replication(silence_seconds)
        stream = ReplicationStream(connection, self._config.status_interval, self._wake_fd)
        stream.locates = self._locates
        try:
            self._server.require_may_stream(connection, silence_seconds)
            stream.start(
                self._slot,
                self._publication,
                after,
                origin=self._config.origin,
                # A standby's transactions go by their positions, which parts don't have yet.
                whole=whole or self._server.standby_of is not None,
                messages=trace.messages,
            )
        except SourceError as error:
            stream.close()
            raise SourceError(
                f"{error}. If the slot is gone, or the server has invalidated it "
                "(max_slot_wal_keep_size, idle_replication_slot_timeout), start again: it is made "
                "anew and everything is loaded"
            ) from error
        except BaseException:
            stream.close()
            raise
        self._server.starts_after(after)
        self._before = None  # readers that are made from now on are for what comes later
        self._stream = stream
        self._attempts.began(after)

    def read(self, timeout_seconds: float) -> list[Event]:
        """Decode what has arrived."""
        events = self._decoded(timeout_seconds)
        self._server.require_unmoved(has_read=bool(events))
        return events if self._server.standby_of is None else numbered_by_position(events)

    def _decoded(self, timeout_seconds: float) -> list[Event]:
        decoder, is_annotated = self._decoder, self._locates or self._contexts is not None
        decode = decoder.decode
        events: list[Event] = []
        append = events.append
        try:
            messages = self._streaming().read(READ_LIMIT_MESSAGES, timeout_seconds)
        except UndecodableError as error:
            self._attempts.failed(error)
            raise
        with understood("a change from the replication slot"):
            for message in messages:
                if isinstance(message, Keepalive):
                    if not decoder.in_transaction:
                        append(Watermark(Position(message.end), message.reply_requested))
                    continue
                event = decoder.decode_part(message) if decoder.in_part else decode(message)
                if is_annotated:
                    event = self._annotated(message, event)
                if isinstance(event, list):
                    events.extend(event)
                elif event is not None:
                    append(event)
        return events

    def _annotated(
        self, message: bytes, event: Event | list[Event] | list[Change] | None
    ) -> Event | list[Event] | list[Change] | None:
        """What was decoded of a message, with the trace that it belongs to and its place."""
        if self._contexts is not None:
            event = self._contexts.traced(message, event)
        found = located(message, event)
        if isinstance(found, list) and found and isinstance(found[-1], Begin):
            self._xid = found[-1].xid
        return found

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:
        """Write = received, flush = durable, apply = searchable."""
        self._streaming().report(received, durable, searchable)

    def wake(self) -> None:
        """Make a waiting `read` return."""
        os.eventfd_write(self._wake_fd, 1)

    def clock(self) -> PostgresClock | StandbyClock:
        """The server's clock, or its primary's, for another thread."""
        return self._server.clock(self._config, self._slot)

    def token_reader(self) -> PostgresTokens:
        """Knows the server's timeline, and those before it."""
        return self._server.token_reader()

    def version_reader(self) -> PostgresVersions:
        """Positions are those of commits, so what is read before one can be a version."""
        return PostgresVersions(self.token_reader())

    def shape_reader(self) -> PublishedShapeReader:
        """Reads what tables look like, and whether they are published, for another thread."""
        return self._server.shape_reader(self._publication)

    def coverage(self) -> Coverage:
        """What is visible now."""
        return self._server.coverage()

    def visibility(self, seen: str) -> Visibility:
        """What a snapshot sees, as the server writes it."""
        return self._server.visibility(seen)

    def starting(self) -> AbstractContextManager[None]:
        """Watches on a connection of its own."""
        return self._server.commits_let_go()

    def let_commit_go(self, xid: int) -> None:
        """Cancel its waiting: it is committed, and its client is warned."""
        if self._server.standby_of is None:
            let_commit_go(self._server.queries(), self._name, xid)

    def give_up_place(self) -> None:
        """Drop the slot, once nobody uses it any more."""
        self._end_stream()
        connection = self._server.queries()
        wait_until_free(connection, self._slot, self._config.slot_wait)
        drop_slot(connection, self._slot)

    def show(self, position: Position) -> str:
        """The position as PostgreSQL writes an LSN."""
        return format_lsn(position)

    def close(self) -> None:
        """Close the connections; the slot stays. Safe to call twice."""
        self._end_stream()
        self._server.close()

    def _know(self, relations: Sequence[Relation]) -> None:
        """Remember which table each relation is, as of its first start: names can move on."""
        self._relations = {(relation.schema, relation.name): relation for relation in relations}
        if self._oids.keys() != set(relations):
            self._oids = table_oids(self._server.queries(), relations)
            self._streamed.clear()

    def _plan_for(self, message: RelationMessage) -> TuplePlan | None:
        """By the table's number: its name may be an older one, or have moved on."""
        known = {oid: relation for relation, oid in self._oids.items()}.get(message.oid)
        if known is not None and self._locates:
            if message not in self._streamed:
                queries = self._server.queries()
                self._streamed[message] = as_streamed(
                    queries, message, known, self._protector, self._require_visible
                )
            return self._streamed[message]
        if known is not None:
            queries = self._server.queries()
            return tuple_plan(
                message,
                known,
                lambda names: has_columns(queries, message.oid, names),
                column_orders(queries, [message.oid]).get(message.oid, ()),
                listed_columns(queries, self._publication, message.oid),
            )
        named = self._relations.get((message.schema, message.name))
        if named is None:
            return None
        return misfit(named, len(message.columns), "the stream has another table of its name")

    def _require_visible(self) -> None:
        """Raise RetryError while nobody sees what the transaction of the stream has done."""
        self.let_commit_go(self._xid)
        require_ended(self._server.queries(), self._xid)

    def _streaming(self) -> ReplicationStream:
        if self._stream is None:
            raise RetryError("the stream has not been started", reason="disconnected")
        return self._stream

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
