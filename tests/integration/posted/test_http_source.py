"""A pipeline whose source is what applications post: from a request to searches, over crashes."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.embedded.ports import free_port
from tests.generators.posts import Answer, post
from tests.generators.rest import Rest
from tests.generators.running_daemon import RunningDaemon, until
from tests.integration.posted.conftest import KEY, TAKES_POSTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded

TABLES = {
    "hotel": {"key": ["id"], "columns": {"id": "bigint", "name": "text", "stars": "numeric(3,1)"}},
    "room": {
        "key": ["id"],
        "columns": {"id": "int", "hotel_id": "bigint", "ready": "timestamptz", "tags": "text[]"},
    },
}
PROJECTIONS: dict[str, Any] = {
    "posted_hotels": {
        "from": "hotel",
        "fields": "*",
        "freshness": "200ms",
        "max_document_bytes": "20kB",
    },
    "posted_cards": {
        "from": "hotel",
        "fields": ["id"],
        "embed": {
            "rooms": {"many": "room", "on": {"hotel_id": "id"}, "fields": ["id", "ready", "tags"]}
        },
        "freshness": "200ms",
    },
}


@dataclass(frozen=True, slots=True)
class Shop:
    """A daemon that nothing but posts reach, and its index."""

    daemon: RunningDaemon
    rest: Rest

    def post(self, *changes: dict[str, Any], **parts: Any) -> Answer:
        """One transaction, until searches show it."""
        body = {"transactions": [{"changes": changes}], "wait": "searchable", "timeout": "60s"}
        return post(self.daemon.url, {**body, **parts}, KEY)

    def found(self, alias: str, id_: int) -> dict[str, Any] | None:
        """What a search finds."""
        hits = self.rest.get(f"/{alias}/_search?q=id:{id_}")["hits"]["hits"]
        return hits[0]["_source"] if hits else None

    def change(self, **sections: Any) -> None:
        """Another configuration, for the next start."""
        configuration = json.loads(self.daemon.file.read_text())
        self.daemon.file.write_text(json.dumps({**configuration, **sections}))


def hotel(id_: int, name: str | None, **others: Any) -> dict[str, Any]:
    """A row."""
    return {"table": "public.hotel", "op": "upsert", "row": {"id": id_, "name": name, **others}}


@pytest.fixture(scope="module")
def shop(
    opensearch: embedded.OpenSearchServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """Tests of a module share it, and leave it running."""
    name = f"posted_{uuid.uuid4().hex[:8]}"
    folder, rest = tmp_path_factory.mktemp(name), Rest(opensearch.url)
    daemon = RunningDaemon(configured(folder, name, opensearch.url), *address(folder))
    daemon.start()
    daemon.wait_until("streaming")
    yield Shop(daemon, rest)
    daemon.close()
    print(daemon.tail())  # noqa: T201 - pytest shows it with a test that failed
    rest.delete("/posted_hotels-000001,posted_cards-000001")


def configured(folder: Path, name: str, opensearch_url: str) -> Path:
    """The file."""
    file = folder / "cdc-daemon.yaml"
    listen = f"127.0.0.1:{free_port()}"
    configuration = {
        "name": name,
        "source": {"type": "http", "tables": TABLES},
        "sink": {"type": "opensearch", "hosts": [opensearch_url]},
        "projections": PROJECTIONS,
        "state": {"path": str(folder / "data")},
        "web": {"listen": listen, **TAKES_POSTS},
    }
    file.write_text(json.dumps(configuration))
    return file


def address(folder: Path) -> tuple[int, str]:
    """The port of the file's configuration, and no database."""
    listen = json.loads((folder / "cdc-daemon.yaml").read_text())["web"]["listen"]
    return int(listen.rpartition(":")[2]), ""


def test_what_is_posted_is_found(shop: Shop) -> None:
    """In read models of one table and of several, with values as PostgreSQL would have them."""
    room = {"id": 7, "hotel_id": 1, "ready": "2026-05-01T14:00:00+02:00", "tags": ["sea", 'a"b']}
    answer = shop.post(
        hotel(1, "Ritz", stars=4), {"table": "public.room", "op": "upsert", "row": room}
    )
    assert (answer.status, answer.outcomes) == (200, ["written"])
    assert shop.found("posted_hotels", 1) == {"id": 1, "name": "Ritz", "stars": 4.0}
    shown = {"id": 7, "ready": "2026-05-01T12:00:00+00:00", "tags": ["sea", 'a"b']}
    assert shop.found("posted_cards", 1) == {"id": 1, "rooms": [shown]}


def test_a_token_can_be_waited_for(shop: Shop) -> None:
    """By whoever gets it, as with a database."""
    token = shop.post(hotel(2, "Plaza", stars=None), wait="durable").content["token"]
    assert Rest(shop.daemon.url).get(f"/api/v1/wait?token={token}&timeout=60s")["reached"]
    assert shop.found("posted_hotels", 2) is not None


def test_the_order_of_arrival_counts(shop: Shop) -> None:
    """Of one row the last one; a key that changes leaves no document behind, nor does a delete."""
    shop.post(hotel(3, "first", stars=None))
    shop.post(hotel(3, "second", stars=None))
    moved = {**hotel(33, "third", stars=None), "key": {"id": 3}}
    shop.post(moved)
    assert (shop.found("posted_hotels", 3), shop.found("posted_cards", 3)) == (None, None)
    found = shop.found("posted_hotels", 33)
    assert found is not None
    assert found["name"] == "third"
    shop.post({"table": "public.hotel", "op": "delete", "key": {"id": 33}})
    assert shop.found("posted_hotels", 33) is None


def test_every_mistake_is_told_and_nothing_is_done(shop: Shop) -> None:
    """Types are those of the configuration, and versions aren't taken."""
    answer = post(
        shop.daemon.url,
        {
            "transactions": [
                {"version": "1", "changes": [hotel(4, "x", stars="1.25"), hotel("4", 1, stars=1)]}  # type: ignore[arg-type]
            ]
        },
        KEY,
    )
    assert answer.status == 422
    at = "transactions[0]"
    assert set(answer.places) == {
        f"{at}.version",
        f"{at}.changes[0].row.stars",
        f"{at}.changes[1].row.id",
        f"{at}.changes[1].row.name",
    }
    assert shop.found("posted_hotels", 4) is None


def test_what_was_answered_outlives_a_kill(shop: Shop) -> None:
    """And what wasn't is posted again: later than all from before, whatever became of it."""
    for n in range(5):
        assert shop.post(hotel(5, f"name {n}", stars=n), wait="durable").status == 200
    shop.daemon.kill()
    shop.daemon.start()
    shop.daemon.wait_until("streaming")
    assert shop.found("posted_hotels", 5) == {"id": 5, "name": "name 4", "stars": 4.0}
    assert shop.post(hotel(5, "name 5", stars=5)).status == 200
    assert shop.found("posted_hotels", 5) == {"id": 5, "name": "name 5", "stars": 5.0}
    until(lambda: shop.daemon.delay() < 60, 60, "the delay falls while nobody posts")


def test_a_sink_that_is_away_is_said(shop: Shop, opensearch: embedded.OpenSearchServer) -> None:
    """Nothing is promised before it is there; who posts it again gets what became of it."""
    body = {"wait": "durable", "idempotency_key": "while it is away"}
    opensearch.pause()
    try:
        answer = shop.post(hotel(9, "Astoria", stars=3), **body, timeout="1s")
        assert (answer.status, answer.outcomes) == (504, ["not_yet"])
        assert "token" not in answer.content
        until(lambda: shop.daemon.delay() > 1, 60, "the delay rises")
    finally:
        opensearch.resume()
    answer = shop.post(hotel(9, "Astoria", stars=3), **body)
    assert (answer.status, answer.outcomes) == (200, ["written"])
    shop.post(hotel(10, "later", stars=None))
    assert shop.found("posted_hotels", 9) == {"id": 9, "name": "Astoria", "stars": 3.0}


def test_a_document_that_cannot_be_is_one_dead_letter(shop: Shop) -> None:
    """As in any stream: the others of its transaction are written, and it is until it changes."""
    before = shop.daemon.status()["dead_letters"]
    answer = shop.post(hotel(11, "x" * 40_000, stars=None), hotel(12, "Plaza", stars=None))
    assert (answer.status, answer.outcomes) == (200, ["written"])
    assert shop.daemon.status()["dead_letters"] == before + 1
    assert shop.found("posted_hotels", 11) is None
    assert shop.found("posted_hotels", 12) is not None
    shop.post(hotel(11, "short", stars=None))
    assert shop.found("posted_hotels", 11) is not None


def test_a_table_that_is_declared_otherwise_is_followed_at_the_next_start(shop: Shop) -> None:
    """One more column that no mapping shows needs nothing; a type that is shown is refused."""
    configuration = json.loads(shop.daemon.file.read_text())
    source = configuration["source"]
    columns = source["tables"]["room"]["columns"]
    assert shop.daemon.terminate() == 0
    shop.change(source=changed(source, {**columns, "floor": "int"}))
    shop.daemon.start()
    shop.daemon.wait_until("streaming")
    room: dict[str, Any] = {"id": 9, "hotel_id": 13, "ready": None, "tags": [], "floor": 2}
    shop.post(hotel(13, "Ritz", stars=None), {"table": "public.room", "op": "upsert", "row": room})
    shown: dict[str, Any] = {"id": 9, "ready": None, "tags": []}
    assert shop.found("posted_cards", 13) == {"id": 13, "rooms": [shown]}
    assert shop.daemon.terminate() == 0
    shop.change(source=changed(source, {**columns, "ready": "date"}))
    shop.daemon.start()
    assert shop.daemon.wait(60) != 0
    shop.change(source=source)
    shop.daemon.start()
    shop.daemon.wait_until("streaming")
    assert shop.found("posted_cards", 13) == {"id": 13, "rooms": [shown]}


def changed(source: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """Rooms have these columns."""
    tables = source["tables"]
    return {**source, "tables": {**tables, "room": {**tables["room"], "columns": columns}}}


def test_read_models_that_would_begin_empty_are_refused(shop: Shop) -> None:
    """Another mapping can't be loaded from anywhere; with the old one all goes on."""
    assert shop.daemon.terminate() == 0
    fewer = {**PROJECTIONS["posted_hotels"], "fields": ["id"]}
    shop.change(projections={**PROJECTIONS, "posted_hotels": fewer})
    shop.daemon.start()
    assert shop.daemon.wait(60) != 0
    assert "has no rows but those that applications post" in shop.daemon.said()
    shop.change(projections=PROJECTIONS)
    shop.daemon.start()
    shop.daemon.wait_until("streaming")
    assert shop.post(hotel(6, "again", stars=None)).status == 200
    assert shop.found("posted_hotels", 6) is not None


def test_a_truncate_empties_both(shop: Shop) -> None:
    """All rows of a table go at once."""
    shop.post(hotel(8, "x", stars=None))
    shop.post({"table": "public.hotel", "op": "truncate"})
    assert (shop.found("posted_hotels", 8), shop.found("posted_cards", 8)) == (None, None)
    assert shop.rest.get("/posted_hotels/_count")["count"] == 0
