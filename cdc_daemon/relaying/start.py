"""A start of a relay: looks the tables up, makes itself the only writer, and sees where it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast
from uuid import uuid4

import structlog

from cdc_daemon.errors import SettingError, SinkError, SourceError
from cdc_daemon.events import NOWHERE, Load
from cdc_daemon.pipeline import Stopped
from cdc_daemon.ports import TableRequest
from cdc_daemon.reaching import Reaching
from cdc_daemon.relaying.resuming import resume_relay
from cdc_daemon.relaying.snapshot import Snapshot
from cdc_daemon.resuming import Found
from cdc_daemon.schemawatch import LEFT
from cdc_daemon.standby import Turn, wait_for_turn

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.events import Checkpoint, Relation
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import Locates, Loss, Relay, Source
    from cdc_daemon.relaying.resuming import Resumed

log = structlog.get_logger(__name__)


class RelayBegun(NamedTuple):
    """What a start has come to."""

    relations: Sequence[Relation]
    checkpoint: Checkpoint
    snapshot: Snapshot


class RelayStart:
    """The starts of one process. One thread, the reader, makes them."""

    def __init__(
        self,
        loaded: LoadedConfiguration,
        source: Source,
        relay: Relay,
        metrics: Metrics,
        stopping: threading.Event,
        standing_by: Callable[[], None],
    ) -> None:
        self._loaded = loaded
        self._configuration = loaded.configuration
        self._source = source
        self._relay = relay
        self._metrics = metrics
        self._stopping = stopping
        self._standing_by = standing_by
        self._owner = uuid4().hex
        self._reaching = Reaching()

    def again(self) -> None:
        """The next start is one in place: who can't be reached is waited for."""
        self._reaching.is_first = False

    def begin(self) -> RelayBegun:
        """What is to be done, and from where on. Raises Stopped when a stop is asked for."""
        with self._source.starting():
            return self._begin()

    def _begin(self) -> RelayBegun:
        relations = self._described()
        with self._reaching.reachable("sink", SinkError):
            self._relay.preflight(relations)
            self._await_turn()
        with self._reaching.reachable("source", SourceError):
            memberships = self._source.prepare(relations)
        with self._reaching.reachable("sink", SinkError):
            self._relay.open()  # from here on nobody else can move the checkpoint
            kept = self._relay.checkpoints.load(self._configuration.name)
        checkpoint = self._resumed(kept, memberships, relations)
        self.again()
        backfill = self._configuration.backfill
        reader = self._source.chunk_reader(backfill.chunk)
        snapshot = Snapshot(relations, checkpoint.loads, reader, backfill.rows_per_second)
        return RelayBegun(relations, checkpoint, snapshot)

    def _described(self) -> list[Relation]:
        """The tables, with every column: those to come are relayed as well."""
        requests = [TableRequest(name) for name in self._configuration.tables]
        try:
            with self._reaching.reachable("source", SourceError):
                found = self._source.describe(requests)
        except SettingError as error:
            raise self._loaded.located("source", error) from error
        return [replace(one, is_open=True) for one in found]

    def _await_turn(self) -> None:
        if not self._configuration.standby:
            return
        wait_for_turn(
            turn=Turn(self._owner),
            pipeline=self._configuration.name,
            source=self._source,
            checkpoints=self._relay.checkpoints,
            stopping=self._stopping,
            waiting=self._standing_by,
        )
        if self._stopping.is_set():
            raise Stopped

    def _resumed(
        self,
        kept: Checkpoint | None,
        memberships: Mapping[str, str],
        relations: Sequence[Relation],
    ) -> Checkpoint:
        with self._reaching.reachable("source", SourceError):
            found = self._found(kept, memberships)
            resumed = resume_relay(self._configuration.name, found, self._source.show)
            self._require_may_lose(resumed)
            self._note_failover(kept, resumed)
            self._note_left(resumed, relations)
            checkpoint = resumed.checkpoint
            if resumed.new_place:
                checkpoint = replace(checkpoint, position=self._source.create_place())
        checkpoint = replace(checkpoint, owner=self._owner, written=None)
        loads = self._with_loads(
            checkpoint.loads, resumed.joined, relations, joined=not resumed.new_place
        )
        return self._begun(relations, replace(checkpoint, loads=loads), resumed)

    def _begun(
        self, relations: Sequence[Relation], checkpoint: Checkpoint, resumed: Resumed
    ) -> Checkpoint:
        """The relay goes on from there; a topic that lacks messages gets the rows of its table."""
        with self._reaching.reachable("source", SourceError):
            database = cast("Locates", self._source).database_name()
        with self._reaching.reachable("sink", SinkError):
            lost = self._relay.begin_from(
                relations, checkpoint, database, goes_on=not resumed.new_place
            )
            self._say(lost)
            tables = frozenset(loss.table for loss in lost if loss.table)
            loads = self._with_loads(checkpoint.loads, tables, relations, joined=False)
            checkpoint = replace(checkpoint, loads=loads)
            self._relay.checkpoints.store(checkpoint)
        return checkpoint

    def _say(self, lost: Sequence[Loss]) -> None:
        """What is gone can't be had again: people are told, and it is counted."""
        for loss in lost:
            self._metrics.relay_lost(loss.topic)
            if loss.messages is None:
                log.warning("topic_made_anew", topic=loss.topic)
            else:
                log.warning("topic_lost_messages", topic=loss.topic, at_least=loss.messages)

    def _found(self, kept: Checkpoint | None, memberships: Mapping[str, str]) -> Found:
        place, source_id, shared = self._source.place(), self._source.identity(), NOWHERE
        if kept is not None and kept.position > NOWHERE and place is not None:
            shared = self._source.shared_until(kept.source_id)
        return Found(kept, place, source_id, shared, memberships)

    def _with_loads(
        self,
        before: Sequence[Load],
        tables: frozenset[str],
        relations: Sequence[Relation],
        *,
        joined: bool,
    ) -> tuple[Load, ...]:
        """What was to be loaded, and all rows of these tables."""
        if not self._loads_rows:
            return ()
        wanted = [relation for relation in relations if relation.qualified_name in tables]
        for relation in wanted:
            if not relation.key:
                log.warning("relay_not_loaded", table=relation.qualified_name)
        new = [Load(one.qualified_name, (), joined=joined) for one in wanted if one.key]
        return (*(load for load in before if load.table not in tables), *new)

    @property
    def _loads_rows(self) -> bool:
        relay = self._configuration.relay
        return relay is not None and relay.snapshot == "initial"

    def _note_failover(self, kept: Checkpoint | None, resumed: Resumed) -> None:
        now = resumed.checkpoint
        if kept is not None and not resumed.new_place and kept.source_id != now.source_id:
            after = self._source.show(now.position)
            log.warning("failover_followed", before=kept.source_id, now=now.source_id, after=after)

    def _note_left(self, resumed: Resumed, relations: Sequence[Relation]) -> None:
        """Changes may be in no stream, also where nobody was there to notice when it happened."""
        for relation in relations:
            if (table := relation.qualified_name) in resumed.left:
                anew = self._loads_rows and bool(relation.key)
                log.warning("table_left_stream", table=table, why=LEFT, relayed_anew=anew)

    def _require_may_lose(self, resumed: Resumed) -> None:
        """What is lost can't be had again, but that all rows are read anew."""
        if not resumed.lost:
            return
        if self._loads_rows and self._configuration.backfill.when_lost == "load":
            log.warning("changes_lost", why=resumed.lost)
            return
        raise SourceError(
            f"{resumed.lost}. Changes that nobody has read are lost. To go on with what changes "
            "from now on, run cdc-daemon slot drop, delete the topic of the checkpoint "
            "(kafka-topics --delete --topic PREFIX.checkpoint), have readers begin anew, and start "
            "again; or have all rows relayed anew: relay.snapshot initial, and backfill.when_lost "
            "load"
        )
