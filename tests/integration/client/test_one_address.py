"""Several daemons behind one address: those of a pipeline, and pipelines by their paths."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.generators.balancer import balancer
from tests.integration.client.conftest import PATIENCE_SECONDS, following, of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.client.conftest import Shop

ROUNDS = 4


@pytest.fixture
def standby(shop: Shop, tmp_path: Path) -> Iterator[RunningDaemon]:
    """Another daemon of the shop's pipeline, which waits for its turn."""
    name = shop.daemon.status()["pipeline"]
    daemon = following(shop.dsn, shop.opensearch_url, name, tmp_path)
    daemon.file.write_text(json.dumps({**json.loads(daemon.file.read_text()), "standby": True}))
    daemon.start()
    daemon.wait_until("standby")
    yield daemon
    daemon.close()


@contextmanager
def gateway(upstreams: Mapping[str, str]) -> Iterator[str]:
    """One address, of which each first part of a path leads to a server."""

    class Led(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first, _, rest = self.path[1:].partition("/")
            answer = httpx.get(f"{upstreams[first]}/{rest}", timeout=PATIENCE_SECONDS)
            self.send_response(answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Led) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_daemon_that_stands_by_behind_the_same_address_costs_nobody_a_read(
    shop: Shop, guest: str, standby: RunningDaemon
) -> None:
    """A connection that has led to it isn't kept: the next question meets the one that runs."""
    with balancer([standby.url, shop.url]) as address:
        for number in range(ROUNDS):
            token = shop.book(f"{guest} {number}")
            with shop.models(address) as models:
                found = models.search("bookings", of(f"{guest} {number}"), token)
                assert len(found.documents) == 1


def test_pipelines_behind_one_address_have_a_path_each(shop: Shop, guest: str) -> None:
    """Each read model is waited for where its pipeline is."""
    with gateway({"hotel": shop.url, "other": "http://127.0.0.1:1"}) as address:
        daemons = {"bookings": f"{address}/hotel/", "posts": f"{address}/other"}
        token = shop.book(guest)
        with shop.models(daemons) as models:
            named: Any = {"function": "my-bookings", "user": "guest"}
            found = models.search("bookings", of(guest), token, **named)
            assert (len(found.documents), found.outcome.policy) == (1, "own")
