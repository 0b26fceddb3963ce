"""What the daemon says of itself: alive, ready, and every number of the status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cdc_daemon import __version__
from cdc_daemon.backfill.collector import BackfillCollector
from cdc_daemon.consistency.collector import DelayCollector, FreshnessCollector
from cdc_daemon.consistency.delays import PIPELINE
from cdc_daemon.consistency.messages import MessageCollector, messages_shown
from cdc_daemon.consistency.policies import Policies
from cdc_daemon.consistency.polls import PollCollector, polls_shown
from cdc_daemon.consistency.waiters import Waiters
from cdc_daemon.delivery.collector import SinkCollector
from cdc_daemon.ports import Health, Polling, ReadsMessages
from cdc_daemon.sharing.collector import ReplicaCollector
from cdc_daemon.state.collector import StateCollector
from cdc_daemon.web import liveness
from cdc_daemon.web.connections import most_connections

if TYPE_CHECKING:
    from collections.abc import Collection

    from prometheus_client.registry import Collector

    from cdc_daemon.backfill.backfill import Backfill
    from cdc_daemon.backfill.control import Control
    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.config.strong import StrongConfig
    from cdc_daemon.consistency.delays import Delays
    from cdc_daemon.consistency.logend import LogEnd
    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import Source
    from cdc_daemon.sharing.replica import Replica
    from cdc_daemon.state import Store


class Status:
    """Gathers what the web side and `cdc-daemon status` show. Read by any thread."""

    def __init__(self, loaded: LoadedConfiguration, metrics: Metrics) -> None:
        self._loaded = loaded
        self._started_at = time.time()
        self._monitor: Monitor | None = None
        self._delivery: Delivery | None = None
        self._source: Source | None = None
        self._store: Store | None = None
        self._replica: Replica | None = None
        self.control: Control | None = None
        """What can be changed while it runs; None before it runs."""
        self._collectors: dict[type[Collector], Collector] = {}
        self.metrics = metrics
        consistency = loaded.configuration.consistency
        self.policies = Policies(consistency)
        self.waiters = Waiters(most_connections(consistency.max_waiters))
        metrics.waiters.set_function(lambda: len(self.waiters))
        self._log_end: LogEnd | None = None
        self.state = "starting"
        self.trouble = ""
        """What a start waits for, if for anything."""

    @property
    def projections(self) -> Collection[str]:
        """The read models of the configuration."""
        return self._loaded.configuration.projections.keys()

    def watch(self, monitor: Monitor) -> None:
        """The delay is known from now on, and shown with the metrics."""
        self._monitor = monitor
        self._collect(DelayCollector(monitor, self._loaded.configuration.name))

    def follow(self, delivery: Delivery, source: Source) -> None:
        """The positions are known from now on."""
        self._delivery = delivery
        self._source = source
        name = self._loaded.configuration.name
        self._collect(FreshnessCollector(delivery.freshness, name))
        self._collect(SinkCollector(delivery.sinks, name))
        if isinstance(source, Polling):
            self._collect(PollCollector(source, name))
        if isinstance(source, ReadsMessages):
            self._collect(MessageCollector(source, name))

    def reach(self, log_end: LogEnd) -> None:
        """It can be asked where the source's log ends from now on."""
        self._log_end = log_end

    def look_for(self, position: Position) -> None:
        """Somebody waits for a position that may not have come: see to it that it does."""
        if self._log_end is not None and self.waiters.pipeline.progress.received < position:
            self._log_end.look(position)

    def staleness(self, projection: str | None) -> float | None:
        """How far searches of a read model, or of all, are behind the source, in seconds.

        None while nobody knows.
        """
        if self._monitor is None:
            return None
        return self._monitor.delays.delay(projection=projection or PIPELINE)

    def why_not_strong(self, projection: str | None) -> str:
        """Why commits don't wait for a read model, or for all; empty if they do.

        Raises NobodyServesError.
        """
        pipeline = self.waiters.pipeline
        if self._monitor is None:
            return "the daemon has not asked yet whether commits wait for it"
        unpublished = pipeline.progress.unpublished
        is_loaded = projection is None or pipeline.indices[projection] not in unpublished
        return self._monitor.strong.why_not(projection, is_loaded=is_loaded)

    def position(self, position: Position) -> str:
        """As people know it."""
        return "" if self._source is None else self._source.show(position)

    def load(self, backfill: Backfill, control: Control) -> None:
        """What is being loaded is known from now on, and can be changed."""
        self.control = control
        name = self._loaded.configuration.name
        self._collect(BackfillCollector(backfill, name))

    def share(self, replica: Replica) -> None:
        """Others write a part of the documents."""
        self._replica = replica
        self._collect(ReplicaCollector(replica, self._loaded.configuration.name))

    def keep(self, store: Store) -> None:
        """What is kept for joined read models is known from now on."""
        self._store = store
        self._collect(StateCollector(store, self._loaded.configuration.name))

    def _collect(self, collector: Collector) -> None:
        """Show its numbers with the metrics, in place of those from before a start in place."""
        before = self._collectors.get(type(collector))
        if before is not None:
            self.metrics.registry.unregister(before)
        self._collectors[type(collector)] = collector
        self.metrics.registry.register(collector)

    def live(self) -> Health:
        """Whether a restart would help: never because an outside system is away."""
        return liveness.live(self.state, self._heard_at)

    def ready(self) -> Health:
        """Whether it does its work: it streams, loads existing rows, or is ready to take over."""
        return liveness.ready(self.state, self._heard_at, self.trouble)

    @property
    def _heard_at(self) -> float | None:
        return None if self._delivery is None else self._delivery.heard_from_reader

    def show(self) -> dict[str, Any]:
        """Everything, as JSON."""
        configuration = self._loaded.configuration
        shown: dict[str, Any] = {
            "pipeline": configuration.name,
            "state": self.state,
            "version": __version__,
            "configuration": self._loaded.fingerprint,
            "started_at": self._started_at,
            "projections": sorted(configuration.projections),
            "strong": _strong(configuration.consistency.strong),
        }
        if self._monitor is not None:
            shown.update(delays_shown(self._monitor.delays))
        if self._delivery is not None and self._source is not None:
            shown.update(self._positions(self._delivery, self._source))
        if isinstance(self._source, Polling):
            shown["polls"] = polls_shown(self._source.poll_report())
        if isinstance(self._source, ReadsMessages):
            shown["messages"] = messages_shown(self._source.message_report())
        if self._store is not None:
            figures = self._store.figures
            shown["kept"] = {
                "rows": figures.rows,
                "pending_documents": figures.pending,
                "used_bytes": figures.used_bytes,
            }
        if self._replica is not None:
            shown["replica"] = self._replica.show()
        if self.control is not None:
            shown["backfill"] = self.control.show()
        return shown

    def _received(self, projected: Position) -> Position:
        """What was read; where nothing was read yet, what the start goes on from."""
        read = self._monitor.delays.position("received") if self._monitor else projected
        return max(read, projected)

    def _positions(self, delivery: Delivery, source: Source) -> dict[str, Any]:
        progress = delivery.progress
        return {
            "position": {
                "received": source.show(self._received(progress.received)),
                "projected": source.show(progress.received),
                "durable": source.show(progress.durable()),
                "searchable": source.show(progress.searchable()),
                "checkpoint": source.show(delivery.checkpointer.stored),
            },
            "queue_bytes": delivery.dispatcher.size_bytes,
            "indices": delivery.indices,
            "read_models": _read_models(delivery),
            "dead_letters": delivery.dead_letters_stored,
            **_sinks(delivery, source),
        }


def _strong(config: StrongConfig | None) -> dict[str, Any] | None:
    """How commits are to wait, as it is configured; None: they aren't."""
    return None if config is None else config.model_dump()


def delays_shown(delays: Delays) -> dict[str, Any]:
    """How far the stages are behind, and by which clock."""
    stages = {one.stage: one for one in delays.readings() if one.projection == PIPELINE}
    return {
        "delay_seconds": {stage: one.delay for stage, one in stages.items()},
        "delay_max_60s_seconds": stages["searchable"].maximum,
        "delay_bound_seconds": stages["searchable"].bound,
        "watermark": {stage: one.watermark for stage, one in stages.items()},
        "clock_offset_seconds": delays.clock_offset_seconds,
        "clock_offset_error_seconds": delays.clock_error_seconds,
    }


def _sinks(delivery: Delivery, source: Source) -> dict[str, Any]:
    """How far each of several is, and in which stages it holds back the others."""
    shown = {
        one.name: {
            "read_models": one.read_models,
            "position": {
                "durable": source.show(one.positions["indexed"]),
                "searchable": source.show(one.positions["searchable"]),
            },
            "holds_back": one.holds_back,
            "delay_seconds": one.delays,
            "queue_bytes": one.queue_bytes,
        }
        for one in delivery.sinks.reports()
    }
    return {"sinks": shown} if shown else {}


def _read_models(delivery: Delivery) -> dict[str, Any]:
    """How far searches of each are behind, and how long what was written lay there unfound."""
    delays = {
        one.projection: one
        for one in delivery.monitor.delays.readings()
        if one.projection != PIPELINE and one.stage == "searchable"
    }
    return {
        one.projection: {
            "delay_seconds": known.delay if (known := delays.get(one.projection)) else None,
            "delay_max_60s_seconds": known.maximum if known else None,
            "freshness_seconds": one.configured,
            "freshness_achieved_60s_seconds": one.achieved,
        }
        for one in delivery.freshness.achieved()
    }
