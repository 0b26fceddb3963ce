"""The backfill over HTTP: anyone may look, and only who has the key may change it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cdc_daemon.backfill import requests as requests_module
from cdc_daemon.config import load
from cdc_daemon.config.models import WebConfig
from cdc_daemon.metrics import Metrics
from cdc_daemon.web.routes import application
from cdc_daemon.web.server import WebServer
from cdc_daemon.web.status import Status
from tests.generators.conditions import wait_until
from tests.generators.posts import nothing_posted
from tests.unit.backfill.conftest import HOTELS, make
from tests.unit.web.test_server import YAML

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.backfill.conftest import Loading

__all__ = ["make"]

KEY = "s3cret, ü"
CHANGES = ("start", "cancel", "pause", "resume")
TABLE = HOTELS.relation.qualified_name


class Answer(NamedTuple):
    """What came back."""

    status: int
    content: dict[str, Any]


class Web:
    """A server, and a backfill behind it once there is one."""

    def __init__(self, folder: Path, key: str | None) -> None:
        path = folder / "cdc-daemon.yaml"
        path.write_text(YAML)
        self.status = Status(load(path, {}), Metrics("pipe", 1))
        config = WebConfig.model_validate({"listen": "127.0.0.1:0", "api_key": key})
        self.server = WebServer(config, application(self.status, nothing_posted(), config.api_key))
        self.server.start()

    def post(self, change: str, body: bytes = b"", **headers: str) -> Answer:
        """Ask for a change, with the right key by default."""
        headers = headers or {"Authorization": f"Bearer {KEY}".encode().decode("latin-1")}
        return self.ask(f"/api/v1/backfill/{change}", body, headers)

    def ask(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask, by POST if there is a body."""
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.server.address + path, body, headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310 - as above
                return Answer(answer.status, json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read()))

    def serve(self, loading: Loading) -> Loading:
        """A pipeline runs."""
        self.status.load(loading.backfill, loading.control)
        loading.start()
        assert wait_until(lambda: bool(loading.source.started), 5)
        return loading


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """With a key."""
    one = Web(tmp_path, KEY)
    yield one
    one.server.stop()


def test_without_a_key_in_the_configuration_nothing_can_be_changed(
    tmp_path: Path, make: Callable[..., Loading]
) -> None:
    """403, and how to get one; looking is allowed."""
    web = Web(tmp_path, None)
    loading = web.serve(make(load=None))
    for change in CHANGES:
        answer = web.post(change, b"{}")
        assert answer.status == 403
        assert "web.api_key" in answer.content["error"]
    assert web.ask("/api/v1/backfill").status == 200
    assert not loading.backfill.loading
    web.server.stop()


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY[:6]}", f"Bearer {KEY[:-1]}", KEY[:6]],
)
def test_a_wrong_key_changes_nothing(
    web: Web, make: Callable[..., Loading], authorization: str
) -> None:
    """401, whatever is asked for, and the body isn't looked at."""
    loading = web.serve(make(load=None))
    for change in CHANGES:
        answer = web.post(change, b"no json", Authorization=authorization)
        assert answer.status == 401
        assert "Bearer" in answer.content["error"]
    assert not loading.backfill.has_work


def test_a_repair_is_started_and_seen(web: Web, make: Callable[..., Loading]) -> None:
    """It is shown while it runs, in the status as well, and when it has ended."""
    loading = web.serve(make(load=None))
    loading.source.at = loading.source.at + 5000  # type: ignore[assignment]  # chunks wait
    answer = web.post("start", json.dumps({"table": TABLE}).encode())
    assert answer.status == 200, answer
    (shown,) = answer.content["loads"]
    assert (shown["table"], shown["projections"], shown["repairs"]) == (TABLE, ["hotels"], True)
    assert shown["phase"] in {"planning", "reading"}
    assert web.ask("/api/v1/backfill").content["loads"][0]["table"] == TABLE
    assert web.ask("/api/v1/status").content["backfill"]["loads"][0]["rows"] == 0
    assert web.post("start", b'{"projection": "hotels"}').status == 409
    assert web.post("pause").content["paused"] is True
    assert web.post("resume").content["paused"] is False
    cancelled = web.post("cancel")
    assert (cancelled.status, cancelled.content["loads"]) == (200, [])
    assert [one["outcome"] for one in cancelled.content["ended"]] == ["cancelled"]
    assert web.post("cancel").status == 409
    assert web.post("pause").status == 409


@pytest.mark.parametrize(
    ("body", "status", "phrase"),
    [
        (b"{", 400, "expected JSON"),
        (b'"hotels"', 400, "expected JSON"),
        (b'{"projections": "hotels"}', 400, "expected JSON"),
        (b'{"projection": 1}', 400, "expected JSON"),
        (b'{"projection": "hotels", "table": "public.hotels"}', 400, "not both"),
        (b"", 404, "name the projection or the table"),
        (b'{"projection": "hotel"}', 404, "did you mean hotels"),
        (b'{"table": "public.x"}', 404, "no table public.x"),
    ],
)
def test_a_request_that_is_wrong_says_why(
    web: Web, make: Callable[..., Loading], body: bytes, status: int, phrase: str
) -> None:
    """And changes nothing."""
    loading = web.serve(make(load=None))
    answer = web.post("start", body)
    assert answer.status == status
    assert phrase in answer.content["error"]
    assert not loading.backfill.has_work


def test_rows_are_chosen_by_a_condition(web: Web, make: Callable[..., Loading]) -> None:
    """It belongs to the start alone, and what the source says against it is the answer."""
    loading = web.serve(make(load=None))
    loading.source.at = loading.source.at + 5000  # type: ignore[assignment]  # chunks wait
    for body in (b'{"where": "7"}', b'{"table": "a.b", "where": ""}', b'{"where": 7}'):
        assert web.post("start", body).status in {400, 404}
    wish = json.dumps({"table": TABLE, "where": "7"}).encode()
    assert "belongs to start, not to cancel" in web.post("cancel", wish).content["error"]
    loading.source.refuses_conditions = True
    refused = web.post("start", wish)
    assert (refused.status, refused.content) == (400, {"error": "the source refuses the condition"})
    assert not loading.backfill.has_work
    loading.source.refuses_conditions = False
    (shown,) = web.post("start", wish).content["loads"]
    assert (shown["repairs"], shown["partly"]) == (True, True)


def test_a_daemon_that_starts_or_waits_says_so(
    web: Web, make: Callable[..., Loading], monkeypatch: pytest.MonkeyPatch
) -> None:
    """503: ask again."""
    assert web.ask("/api/v1/backfill").status == 503
    assert web.post("start", b'{"projection": "hotels"}').status == 503
    monkeypatch.setattr(requests_module, "PATIENCE_SECONDS", 0.1)
    loading = make(load=None)  # its reader hasn't been started
    web.status.load(loading.backfill, loading.control)
    assert web.post("cancel").status == 503
