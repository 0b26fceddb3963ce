"""What a relay says of itself: alive, ready, and every number of the status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cdc_daemon import __version__
from cdc_daemon.consistency.collector import DelayCollector
from cdc_daemon.web import health, liveness
from cdc_daemon.web.status import delays_shown

if TYPE_CHECKING:
    from starlette.requests import Request

    from cdc_daemon.config.loader import LoadedConfiguration
    from cdc_daemon.consistency.monitor import Monitor
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import Health, Source
    from cdc_daemon.relaying.relaying import Relaying


class RelayStatus:
    """Gathers what the web side and `cdc-daemon status` show. Read by any thread."""

    def __init__(self, loaded: LoadedConfiguration, metrics: Metrics, source: Source) -> None:
        self._loaded = loaded
        self._started_at = time.time()
        self._source = source
        self._monitor: Monitor | None = None
        self._collector: DelayCollector | None = None
        self._relaying: Relaying | None = None
        self.metrics = metrics
        self.state = "starting"
        self.trouble = ""
        """What was wrong last, while it waits."""

    def watch(self, monitor: Monitor) -> None:
        """The delay is known from now on, and shown with the metrics."""
        if self._collector is not None:
            self.metrics.registry.unregister(self._collector)
        self._monitor = monitor
        self._collector = DelayCollector(monitor, self._loaded.configuration.name)
        self.metrics.registry.register(self._collector)

    def follow(self, relaying: Relaying) -> None:
        """The positions are known from now on."""
        self._relaying = relaying

    def live(self) -> Health:
        """Whether a restart would help: never because an outside system is away."""
        return liveness.live(self.state, self._heard_at)

    def ready(self) -> Health:
        """Whether it does its work: it passes on what changes, or is ready to take over."""
        return liveness.ready(self.state, self._heard_at, self.trouble)

    @property
    def _heard_at(self) -> float | None:
        return None if self._relaying is None else self._relaying.heard_at

    def show(self) -> dict[str, Any]:
        """Everything, as JSON."""
        configuration = self._loaded.configuration
        strong = configuration.consistency.strong
        shown: dict[str, Any] = {
            "pipeline": configuration.name,
            "state": self.state,
            "trouble": self.trouble,
            "version": __version__,
            "configuration": self._loaded.fingerprint,
            "started_at": self._started_at,
            "relayed_tables": list(configuration.tables),
            "strong": None if strong is None else strong.model_dump(),
        }
        if self._monitor is not None:
            shown.update(delays_shown(self._monitor.delays))
        if self._relaying is not None:
            shown["position"] = self._positions(self._relaying)
            if self._relaying.searches is not None:
                shown["projectors"] = self._relaying.searches.show(self._source.show)
            loads = self._relaying.checkpoint.loads
            shown["loading"] = {load.table: load.rows for load in loads}
        return shown

    def _positions(self, relaying: Relaying) -> dict[str, str]:
        show = self._source.show
        received, durable = show(relaying.received), show(relaying.reached)
        return {
            "received": received,
            "projected": received,
            "durable": durable,
            "searchable": durable,
            "checkpoint": show(relaying.checkpoint.position),
        }


def application(status: RelayStatus) -> Starlette:
    """The web application that shows it."""

    def show(_: Request) -> Response:
        return JSONResponse(status.show())

    return Starlette(
        routes=[
            *health.routes(status, status.metrics.registry),
            Route("/api/v1/status", show),
        ]
    )
