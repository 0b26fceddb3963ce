"""The web side, over HTTP: health, metrics in both formats, status, and a port that is taken."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, NamedTuple

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from cdc_daemon.config import load
from cdc_daemon.config.models import WebConfig
from cdc_daemon.consistency.delays import STAGES
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.errors import StopError
from cdc_daemon.events import Position
from cdc_daemon.metrics import Metrics
from cdc_daemon.web.liveness import HELD_UP_SECONDS, STUCK_SECONDS
from cdc_daemon.web.routes import application
from cdc_daemon.web.server import WebServer
from cdc_daemon.web.status import Status
from tests.generators.by_hand import configuration, projection
from tests.generators.memory_sink import MemorySink
from tests.generators.posts import nothing_posted
from tests.generators.scripted_source import MemoryClock, ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

YAML = """
name: pipe
source: {type: postgres, dsn: host=localhost password=hunter2}
sink: {type: opensearch, hosts: ["http://localhost:9200"]}
projections: {hotels: {from: public.hotel, fields: "*"}}
"""


class Answer(NamedTuple):
    """What came back."""

    status: int
    type: str
    text: str


class Web(NamedTuple):
    """A server with a status behind it."""

    status: Status
    server: WebServer
    folder: Path

    def get(self, path: str, accept: str = "*/*", method: str = "GET") -> Answer:
        """Ask it."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.server.address + path, headers={"Accept": accept}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
                return Answer(answer.status, answer.headers["content-type"], answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, "", error.read().decode())

    def follow(self, sink: MemorySink) -> Delivery:
        """A pipeline that runs, as far as the web side sees."""
        metrics = self.status.metrics
        monitor = Monitor(MemoryClock(), metrics)
        self.status.watch(monitor)
        delivery = Delivery(
            configuration=configuration(self.folder),
            sink=sink,
            projections={"index of hotels": projection()},
            monitor=monitor,
            metrics=metrics,
            wake=lambda: None,
        )
        self.status.follow(delivery, ScriptedSource())
        return delivery


def serving(listen: str, status: Status) -> WebServer:
    """A server that isn't started yet."""
    return WebServer(WebConfig(listen=listen), application(status, nothing_posted(), None))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A server on a free port."""
    path = tmp_path / "cdc-daemon.yaml"
    path.write_text(YAML)
    status = Status(load(path, {}), Metrics("pipe", 1))
    server = serving("127.0.0.1:0", status)
    server.start()
    yield Web(status, server, tmp_path)
    server.stop()
    server.stop()


def test_it_is_alive_whatever_the_outside_systems_do(web: Web) -> None:
    """Starting, waiting for a source or sink: a restart would not help."""
    sink = MemorySink()
    sink.away = True
    delivery = web.follow(sink)
    delivery.heard_from_reader = time.monotonic() - 10 * STUCK_SECONDS
    for state in ("starting", "waiting", "stopping"):
        web.status.state = state
        assert web.get("/livez").status == 200, state


def test_it_is_not_alive_when_the_reader_is_stuck(web: Web) -> None:
    """A reader that streams comes round every second: after a minute only a restart helps."""
    delivery = web.follow(MemorySink())
    web.status.state = "streaming"
    assert web.get("/livez").status == 200
    delivery.heard_from_reader = time.monotonic() - STUCK_SECONDS - 5
    answer = web.get("/livez")
    assert answer.status == 503
    assert "stuck" in json.loads(answer.text)["reason"]


def test_it_is_not_ready_when_the_reader_is_held_up(web: Web) -> None:
    """Sooner than a restart would help: the reader may yet come round, and is ready then."""
    delivery = web.follow(MemorySink())
    web.status.state = "streaming"
    delivery.heard_from_reader = time.monotonic() - HELD_UP_SECONDS - 5
    answer = web.get("/readyz")
    assert answer.status == 503
    assert "stuck for 20 s" in json.loads(answer.text)["reason"]
    assert web.get("/livez").status == 200
    delivery.heard_from_reader = time.monotonic()
    assert web.get("/readyz").status == 200


@pytest.mark.parametrize(
    ("state", "status"),
    [("starting", 503), ("loading", 200), ("streaming", 200), ("waiting", 503), ("stopping", 503)],
)
def test_it_is_ready_while_it_streams_or_loads(web: Web, state: str, status: int) -> None:
    """And says what it does instead when it isn't."""
    web.status.state = state
    answer = web.get("/readyz")
    assert answer.status == status
    assert json.loads(answer.text)["ok"] == (status == 200)


def test_metrics_come_in_the_format_that_is_asked_for(web: Web) -> None:
    """Prometheus' text for anyone, OpenMetrics for who accepts it; both can be read."""
    web.follow(MemorySink())
    web.status.metrics.transaction()
    plain = web.get("/metrics")
    assert plain.type.startswith("text/plain")
    assert 'cdc_transactions_received_total{pipeline="pipe"} 1.0' in plain.text
    accepted = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    modern = web.get("/metrics", accept=accepted)
    assert modern.type.startswith(accepted)
    families = {family.name for family in text_string_to_metric_families(modern.text)}  # type: ignore[no-untyped-call]  # as it is
    assert {"cdc_transactions_received", "cdc_queue_bytes"} <= families


def test_the_status_shows_positions_and_no_secret(web: Web) -> None:
    """As JSON, before anything runs and afterwards."""
    before = json.loads(web.get("/api/v1/status").text)
    assert (before["pipeline"], before["state"]) == ("pipe", "starting")
    assert before["projections"] == ["hotels"]
    delivery = web.follow(MemorySink())
    delivery.progress.received = Position(255)
    answer = web.get("/api/v1/status")
    shown = json.loads(answer.text)
    assert shown["position"]["received"] == "0/FF"
    assert shown["indices"] == {"hotels": "index of hotels"}
    assert shown["position"]["projected"] == "0/FF"
    assert set(shown["delay_seconds"]) == set(STAGES)
    assert "hunter2" not in answer.text


def test_nothing_can_be_changed_and_unknown_paths_are_not_found(web: Web) -> None:
    """Nothing but the backfill can be changed."""
    for path in ("/livez", "/readyz", "/metrics", "/api/v1/status"):
        assert web.get(path, method="POST").status == 405
        assert web.get(path, method="DELETE").status == 405
    assert web.get("/nothing").status == 404


def test_a_port_that_is_taken_is_a_stop_that_names_it(web: Web) -> None:
    """And says which setting to change."""
    taken = web.server.address.removeprefix("http://")
    with pytest.raises(StopError, match=rf"{taken}.*web\.listen"):
        serving(taken, web.status).start()


def test_it_can_be_stopped_and_started_again_on_the_same_port(web: Web) -> None:
    """The port is free afterwards."""
    address = web.server.address.removeprefix("http://")
    web.server.stop()
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))):
        pass
    again = serving(address, web.status)
    again.start()
    assert web.get("/livez").status == 200
    again.stop()


def test_a_connection_that_is_kept_is_answered_at_once(web: Web) -> None:
    """No answer waits for the acknowledgement of its own beginning: that takes 40 ms each."""
    connection = http.client.HTTPConnection(web.server.address.removeprefix("http://"))
    took = []
    for _ in range(50):
        began = time.monotonic()
        connection.request("GET", "/livez")
        connection.getresponse().read()
        took.append(time.monotonic() - began)
    connection.close()
    assert min(took[-20:]) < 0.03


def test_it_listens_on_ipv6(web: Web) -> None:
    """The address is shown as a URL has it."""
    if not socket.has_ipv6:
        pytest.skip("[of the machine] no IPv6 on this machine")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("[of the machine] no IPv6 loopback on this machine")
    server = serving("[::1]:0", web.status)
    server.start()
    assert server.address.startswith("http://[::1]:")
    assert Web(web.status, server, web.folder).get("/livez").status == 200
    server.stop()
