"""Posting changes over HTTP: what is answered before anybody takes them."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.config import load
from cdc_daemon.metrics import Metrics
from cdc_daemon.posted.body import Bodies, Post
from cdc_daemon.posted.documents import key_of
from cdc_daemon.posted.outcome import Done
from cdc_daemon.posted.posts import Posts
from cdc_daemon.posted.rows import Expected
from cdc_daemon.web import changes as changes_module
from cdc_daemon.web.routes import application
from cdc_daemon.web.server import WebServer
from cdc_daemon.web.status import Status
from connectors.http import HttpSource
from connectors.http.config import HttpConfig
from tests.generators.by_hand import table
from tests.generators.memory_sink import MemorySink
from tests.generators.posts import post
from tests.generators.set_clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

YAML = """
name: pipe
source: {type: http, tables: {hotel: {key: [id], columns: {id: int}}}}
sink: {type: opensearch, hosts: ["http://localhost:9200"]}
projections: {hotels: {from: public.hotel, fields: "*"}}
web: {changes: {keys: {shop: shop-key, script: script-key}, requests_per_second: 1}}
"""
NOBODY_TAKES_THEM = 503
TOO_MANY = 429
CHANGE = {
    "transactions": [{"changes": [{"table": "public.hotel", "op": "upsert", "row": {"id": 1}}]}]
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What rates go by."""
    made = Clock()
    monkeypatch.setattr(changes_module, "time", made)
    return made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WebServer]:
    """A daemon's that starts: it takes nothing yet."""
    path = tmp_path / "cdc-daemon.yaml"
    path.write_text(YAML, encoding="utf-8")
    loaded = load(path, {})
    source = HttpSource(HttpConfig.model_validate(loaded.configuration.source), pipeline="pipe")
    posts = Posts(loaded.configuration, source, MemorySink())
    web = loaded.configuration.web.model_copy(update={"listen": "127.0.0.1:0"})
    made = WebServer(web, application(Status(loaded, Metrics("pipe", 1)), posts, None))
    made.start()
    yield made
    made.stop()


def test_a_key_that_brings_too_many_requests_is_told_when_to_come_again(
    server: WebServer, clock: Clock
) -> None:
    """Each key by itself; nothing is read of what is refused, and a second later it is taken."""
    url = server.address
    assert post(url, CHANGE, "shop-key").status == NOBODY_TAKES_THEM
    refused = post(url, b"no JSON", "shop-key")
    assert refused.status == TOO_MANY
    assert refused.headers["retry-after"] == "1"
    assert "web.changes.requests_per_second of key shop" in refused.content["error"]
    assert post(url, CHANGE, "script-key").status == NOBODY_TAKES_THEM
    clock.now += 0.5
    assert post(url, CHANGE, "shop-key").status == TOO_MANY
    clock.now += 0.5
    assert post(url, CHANGE, "shop-key").status == NOBODY_TAKES_THEM


def test_who_has_no_key_uses_up_nothing(server: WebServer, clock: Clock) -> None:
    """It is refused as such, as often as it comes."""
    assert clock.now
    assert [post(server.address, CHANGE, key).status for key in ("a", "a", None)] == [401] * 3
    assert post(server.address, CHANGE, "shop-key").status == NOBODY_TAKES_THEM


class Silent:
    """A taker that answers nobody, unless it is looked at when time is up."""

    epoch = "here"
    unknown = "not_yet"

    def __init__(self, told: Done | None) -> None:
        hotel = table("id")
        known = Expected(
            {hotel.qualified_name: hotel}, {hotel.qualified_name: key_of(hotel)}, truncates=True
        )
        self.bodies = Bodies(known, versioned=False, most_changes=10, longest_seconds=60)
        self.taken: list[Future[Done]] = []
        self._told = told

    def take(self, post: Post, deadline: float) -> Future[Done]:
        """Say nothing of it."""
        assert post.transactions
        assert deadline
        self.taken.append(Future())
        return self.taken[-1]

    def look(self) -> None:
        """Say what is known, if anything is."""
        if self._told is not None:
            self.taken[-1].set_result(self._told)

    def close(self) -> None:
        """Go on saying nothing."""


LATE = Done([{"outcome": "written"}], in_time=False, told={})


@pytest.mark.parametrize(("told", "outcome"), [(None, "not_yet"), (LATE, "written")])
def test_who_posts_is_answered_though_nobody_says_what_became_of_it(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, told: Done | None, outcome: str
) -> None:
    """Shortly after its time is up, by what is known then; the same key has it done once more."""
    silent = Silent(told)
    monkeypatch.setattr(Posts, "taker", silent)
    body = {**CHANGE, "timeout": "0.1s", "idempotency_key": "booking 1"}
    for times in (1, 2):
        answer = post(server.address, body, "shop-key")
        assert (answer.status, answer.outcomes) == (504, [outcome])
        assert len(silent.taken) == times
