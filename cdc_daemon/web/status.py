"""What the daemon says of itself: alive, ready, and every number of the status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdc_daemon import __version__
from cdc_daemon.backfill.collector import BackfillCollector
from cdc_daemon.consistency.collector import DelayCollector
from cdc_daemon.consistency.delays import PIPELINE
from cdc_daemon.state.collector import StateCollector

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from cdc_daemon.backfill.backfill import Backfill
    from cdc_daemon.backfill.control import Control
    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.consistency.delays import Delays
    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import Source
    from cdc_daemon.state import Store

STUCK_SECONDS: Final = 60.0
"""A reader that has not come round for so long is stuck: every wait of it is far shorter."""
HELD_UP_SECONDS: Final = 15.0
"""One that has not for so long is not ready: it may yet come round, so nobody restarts it."""
READING: Final = frozenset({"streaming", "loading"})


class Health(NamedTuple):
    """Whether all is well, and why not."""

    ok: bool
    reason: str


class Status:
    """Gathers what the web side and `cdc-daemon status` show. Read by any thread."""

    def __init__(self, loaded: LoadedConfiguration, metrics: Metrics) -> None:
        self._loaded = loaded
        self._started_at = time.time()
        self._monitor: Monitor | None = None
        self._delivery: Delivery | None = None
        self._source: Source | None = None
        self._store: Store | None = None
        self.control: Control | None = None
        """What can be changed while it runs; None before it runs."""
        self._collectors: dict[type[Collector], Collector] = {}
        self.metrics = metrics
        self.state = "starting"

    def watch(self, monitor: Monitor) -> None:
        """The delay is known from now on, and shown with the metrics."""
        self._monitor = monitor
        self._collect(DelayCollector(monitor, self._loaded.configuration.name))

    def follow(self, delivery: Delivery, source: Source) -> None:
        """The positions are known from now on."""
        self._delivery = delivery
        self._source = source

    def load(self, backfill: Backfill, control: Control) -> None:
        """What is being loaded is known from now on, and can be changed."""
        self.control = control
        name = self._loaded.configuration.name
        self._collect(BackfillCollector(backfill, name))

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
        return self._comes_round_within(STUCK_SECONDS)

    def ready(self) -> Health:
        """Whether it does its work: it streams, loads existing rows, or is ready to take over."""
        if self.state == "standby":
            return Health(ok=True, reason="another daemon follows the source: this one is standby")
        if self.state in READING:
            return self._comes_round_within(HELD_UP_SECONDS)
        return Health(ok=False, reason=f"the pipeline is {self.state}")

    def _comes_round_within(self, seconds: float) -> Health:
        """Whether the reader, if it reads, has done so lately."""
        if self.state in READING and self._delivery is not None:
            age = time.monotonic() - self._delivery.heard_from_reader
            if age > seconds:
                return Health(ok=False, reason=f"the reader has been stuck for {age:.0f} s")
        return Health(ok=True, reason="")

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
        }
        if self._monitor is not None:
            shown.update(_delays(self._monitor.delays))
        if self._delivery is not None and self._source is not None:
            shown.update(self._positions(self._delivery, self._source))
        if self._store is not None:
            figures = self._store.figures
            shown["kept"] = {
                "rows": figures.rows,
                "pending_documents": figures.pending,
                "used_bytes": figures.used_bytes,
            }
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
            "dead_letters": delivery.dead_letters_stored,
        }


def _delays(delays: Delays) -> dict[str, Any]:
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
