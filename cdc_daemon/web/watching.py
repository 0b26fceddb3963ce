"""Shows another process than the daemon to those who watch it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette

from cdc_daemon.web import health
from cdc_daemon.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from cdc_daemon.config.models import WebConfig
    from cdc_daemon.ports import Watched


@contextmanager
def watched(config: WebConfig, pipeline: str, process: Watched) -> Iterator[None]:
    """While this lasts it can be asked. Raises StopError when the address can't be bound."""
    registry = CollectorRegistry()
    registry.register(NumbersCollector(pipeline, process))
    server = WebServer(config, Starlette(routes=health.routes(process, registry)))
    server.start()
    try:
        yield
    finally:
        server.stop()


class NumbersCollector(Collector):
    """What the process says at the scrape."""

    def __init__(self, pipeline: str, process: Watched) -> None:
        self._pipeline = pipeline
        self._process = process

    def collect(self) -> Iterator[Metric]:
        """Each as a gauge of the pipeline."""
        for name, meaning, value in self._process.numbers():
            family = GaugeMetricFamily(name, meaning, labels=["pipeline"])
            family.add_metric([self._pipeline], value)
            yield family
