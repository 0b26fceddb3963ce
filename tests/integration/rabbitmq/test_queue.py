"""A queue, from what is published to searches: over crashes, and what it must not be."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from tests.conformance.test_rabbitmq import FORGET_CONNECTIONS
from tests.generators.publisher import QUORUM
from tests.generators.running_daemon import until
from tests.integration.rabbitmq.conftest import HOTEL, ROOM, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.integration.rabbitmq.conftest import Shop

SOURCE = {
    "queues": ["NAME"],
    "heartbeat": "2s",
    "tables": {
        "hotel": {
            **HOTEL,
            "routing_keys": ["NAME.hotel.#"],
            "operation": {"at": "headers.type", "delete": ["closed"]},
        },
        "room": {**ROOM, "routing_keys": ["NAME.room"]},
    },
}
CHANGED = {"type": "changed"}
ALARM = "{resource_limit, memory, node()}"


@pytest.fixture(scope="module")
def shop(
    rabbitmq: embedded.RabbitServer, opensearch: embedded.OpenSearchServer, folder: Path
) -> Iterator[Shop]:
    """Tests of the module share it, with hotels of their own, and leave it running."""
    with opened(rabbitmq, opensearch, folder, SOURCE, QUORUM) as shop:
        shop.publisher.bind(shop.name, f"{shop.name}.#")
        cards = {
            "from": "hotel",
            "fields": ["id"],
            "embed": {"rooms": {"many": "room", "on": {"hotel_id": "id"}, "fields": ["price"]}},
        }
        projections = json.loads(shop.daemon.file.read_text())["projections"]
        shop.restart(projections={**projections, f"{shop.name}-cards": cards})
        yield shop


def publish(shop: Shop, id_: int, revision: int, name: str = "Ritz") -> None:
    """A hotel, as it is from now on."""
    body = {"id": id_, "name": name, "revision": revision}
    shop.publisher.announce(f"{shop.name}.hotel.changed", body, headers=CHANGED)


def close(shop: Shop, id_: int) -> None:
    """A hotel that is no more."""
    shop.publisher.announce(f"{shop.name}.hotel", {"id": id_}, headers={"type": "closed"})


def test_what_is_published_is_found(shop: Shop) -> None:
    """By its routing key, in read models of one table and of several; a delete leaves nothing."""
    shop.publisher.announce(f"{shop.name}.room", {"id": 7, "hotel_id": 1, "price": 99.5})
    publish(shop, 1, 1)
    shop.shows(1, name="Ritz", revision=1)
    cards = f"{shop.name}-cards"
    until(lambda: shop.document(1, cards) == {"id": 1, "rooms": [{"price": 99.5}]}, 30, "a card")
    close(shop, 1)
    shop.is_gone(1)
    until(lambda: shop.daemon.delay() < 5, 60, "the delay is small while nothing comes")


def test_what_can_not_be_understood_is_a_dead_letter(shop: Shop) -> None:
    """The others go on, and nothing stays in the queue; what is of no table is named."""
    key = f"{shop.name}.hotel"
    for body in (b"no json", {"id": "x", "name": "y"}):
        shop.publisher.announce(key, body, headers=CHANGED)
    shop.publisher.announce(f"{shop.name}.guest", {"id": 1})
    publish(shop, 2, 1)
    shop.shows(2, revision=1)
    until(lambda: len(shop.letters()) == 2, 20, "both are dead letters")
    letters = sorted(shop.letters(), key=lambda letter: str(letter["reason"]))
    assert [letter["reason"] for letter in letters] == ["no_json", "not_of_its_type"]
    assert all(f"queue {shop.name}, routing key {key}" in one["explanation"] for one in letters)
    [passed_over] = shop.daemon.events("message_of_no_table")
    assert passed_over["routing_key"] == f"{shop.name}.guest"


class Revisions:
    """Hotels that are published again and again, while their documents are looked at."""

    def __init__(self, shop: Shop, ids: list[int]) -> None:
        self._shop = shop
        self._stop = threading.Event()
        self.written = dict.fromkeys(ids, 0)
        self.shown = dict.fromkeys(ids, 0)
        self.backwards: list[tuple[int, int, int]] = []
        """Hotel, the revision that its document had, and the lower one after it."""

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=one) for one in (self._write, self._watch)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self) -> None:
        while not self._stop.is_set():
            for id_ in self.written:
                publish(self._shop, id_, self.written[id_] + 1)
                self.written[id_] += 1

    def _watch(self) -> None:
        while not self._stop.is_set():
            for id_, before in self.shown.items():
                document = self._shop.document(id_)
                now = before if document is None else int(document["revision"])
                if now < before:
                    self.backwards.append((id_, before, now))
                self.shown[id_] = now


def test_documents_never_go_back(shop: Shop) -> None:
    """Whenever the daemon is killed, or its connection: what comes again is older than nothing."""
    with Revisions(shop, [10, 11, 12]) as revisions:
        until(lambda: all(revisions.shown.values()), 20, "all are shown")
        for _ in range(2):
            time.sleep(0.5)
            shop.server._evaluate(FORGET_CONNECTIONS)
            time.sleep(0.5)
            shop.daemon.kill()
            shop.restart()
    for id_, revision in revisions.written.items():
        shop.shows(id_, revision=revision)
    assert revisions.backwards == []
    until(lambda: shop.daemon.events("messages_came_again"), 20, "some came again")
    shop.daemon.terminate()
    assert shop.publisher.ready(shop.name) == 0, "what is durable was acknowledged"
    shop.restart()


def test_a_broker_may_freeze_and_be_killed(shop: Shop) -> None:
    """It is waited for; what it had is read when it is back."""
    publish(shop, 20, 1)
    shop.shows(20, revision=1)
    shop.server.save_queues()
    shop.server.pause()
    try:
        shop.daemon.wait_until("waiting", 90)
    finally:
        shop.server.resume()
    shop.daemon.wait_until("streaming", 90)
    publish(shop, 20, 2)
    shop.shows(20, revision=2)
    shop.server.kill()
    shop.daemon.wait_until("waiting", 90)
    shop.server.start()
    until(lambda: shop.publisher.answers(shop.name), 90, "the queue is there again")
    publish(shop, 20, 3)
    shop.shows(20, revision=3)


def test_an_alarm_stops_publishers_and_not_the_daemon(shop: Shop) -> None:
    """What is in the queue is read; and a start with another mapping is refused before."""
    assert shop.daemon.terminate() == 0
    publish(shop, 30, 1)
    projections = json.loads(shop.daemon.file.read_text())["projections"]
    fewer = {**projections[shop.name], "fields": ["id"]}
    shop.change(projections={**projections, shop.name: fewer})
    shop.daemon.start()
    assert shop.daemon.wait(60) != 0
    assert "has no rows but those that are published" in shop.daemon.said()
    shop.server._evaluate(f"rabbit_alarm:set_alarm({{{ALARM}, []}}), ok")
    try:
        shop.restart(projections=projections)
        shop.shows(30, revision=1)
    finally:
        shop.server._evaluate(f"rabbit_alarm:clear_alarm({ALARM}), ok")


def test_a_queue_that_is_deleted_stops_the_daemon(shop: Shop) -> None:
    """So does one that it may not read: it says which, and what to do."""
    shop.publisher.delete(shop.name)
    assert shop.daemon.wait(60) == 3
    assert f"no queue '{shop.name}'" in shop.daemon.said()
    shop.publisher.declare(shop.name)
    shop.server.add_user("stranger", "secret", read="^$")
    source = json.loads(shop.daemon.file.read_text())["source"]
    shop.change(source={**source, "url": shop.server.url.replace("guest:guest", "stranger:secret")})
    shop.daemon.start()
    assert shop.daemon.wait(60) == 3
    assert "rabbitmqctl set_permissions" in shop.daemon.said()
    shop.change(source=source)
    shop.daemon.start()
    shop.daemon.wait_until("streaming")
    shop.daemon.signal(signal.SIGTERM)
