"""A stream, from what is published to searches: over kills, and when it isn't what it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.generators.publisher import STREAM
from tests.generators.running_daemon import until
from tests.integration.rabbitmq.conftest import HOTEL, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.integration.rabbitmq.conftest import Shop

SOURCE = {"stream": "NAME", "tables": {"hotel": {**HOTEL, "version": "$.revision"}}}


@pytest.fixture(scope="module")
def shop(
    rabbitmq: embedded.RabbitServer, opensearch: embedded.OpenSearchServer, folder: Path
) -> Iterator[Shop]:
    """Tests of the module share it; the last one leaves another stream."""
    with opened(rabbitmq, opensearch, folder, SOURCE, STREAM) as shop:
        publish(shop, 1, 1)  # before it is followed
        shop.restart()
        yield shop


def publish(shop: Shop, id_: int, *revisions: int) -> None:
    """A hotel, as it is from now on; or was."""
    bodies = [{"id": id_, "name": f"name {one}", "revision": one} for one in revisions]
    shop.publisher.publish(shop.name, *bodies)


def test_all_that_it_has_is_read(shop: Shop) -> None:
    """Also what was published before; a kill loses nothing, and a late message wins nothing."""
    shop.shows(1, revision=1)
    publish(shop, 2, 1, 2)
    shop.shows(2, revision=2)
    shop.daemon.kill()
    publish(shop, 2, 4, 3)
    publish(shop, 3, 1)
    shop.restart()
    shop.shows(3, revision=1)
    shop.shows(2, revision=4)
    publish(shop, 2, 2)
    publish(shop, 4, 1)
    shop.shows(4, revision=1)
    assert shop.document(2) == {"id": 2, "name": "name 4", "revision": 4}
    until(lambda: shop.daemon.delay() < 5, 60, "the delay is small while nothing comes")


def test_one_that_was_made_anew_is_not_taken_for_the_old_one(shop: Shop) -> None:
    """The daemon stops, and what is searched stays; under another name it reads all of it."""
    publish(shop, 2, 5, 6)  # one that has as much as the old one had can't be told from it
    shop.shows(2, revision=6)
    read = shop.daemon.position("searchable")
    until(lambda: shop.daemon.position("checkpoint") >= read, 60, "the checkpoint says so")
    shop.publisher.delete(shop.name)
    assert shop.daemon.wait(60) == 3
    shop.publisher.declare(shop.name, STREAM)
    publish(shop, 9, 1)
    shop.daemon.start()
    assert shop.daemon.wait(90) != 0
    assert "deleted and made anew" in shop.daemon.said()
    assert "has no rows but those that are published" in shop.daemon.said()
    assert shop.document(2) is not None
    configuration = json.loads(shop.daemon.file.read_text())
    projections = {f"{shop.name}-anew": configuration["projections"][shop.name]}
    shop.restart(name=f"{shop.name}-anew", projections=projections)
    until(lambda: shop.document(9, f"{shop.name}-anew"), 30, "all of it is read")
