"""Topics through the daemon to searches, over kills, other mappings and messages that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from tests.integration.kafka.conftest import Shop


def test_what_topics_hold_and_what_comes_is_found(shop: Shop) -> None:
    """Rows of one table and of two, also after a kill and beside a poison message; a read model
    that is new begins with all that the topics hold.
    """  # noqa: D205 - one sentence
    shop.hotels({1: "Ritz", 2: "Astoria", 3: "gone"})
    shop.hotels({3: None})
    shop.write("room", 7, {"id": 7, "hotel_id": 1, "beds": 2})
    shop.flush()
    shop.daemon.start()
    shop.until_shown({"1": "Ritz", "2": "Astoria"})
    shop.until_shown({"1": "Ritz", "2": "Astoria"}, "cards")
    assert shop.documents("cards")["1"]["rooms"] == [{"id": 7, "beds": 2}]
    assert shop.documents("hotels")["1"]["price"] == 1.5

    shop.daemon.kill()
    shop.hotels({1: "Ritz!", 4: "Bellevue"})
    shop.write("hotel", 5, b"{not json")
    shop.hotels({6: "behind it"})
    shop.daemon.start()
    after = {"1": "Ritz!", "2": "Astoria", "4": "Bellevue", "6": "behind it"}
    shop.until_shown(after)
    shop.until_shown(after, "cards")
    assert shop.daemon.total("cdc_dead_letters_total") >= 1

    configuration = {
        f"{name}_{shop.name}": {"from": "hotel", "fields": ["id", "name"], "freshness": "200ms"}
        for name in ("hotels", "names")
    }
    assert shop.daemon.terminate() == 0
    shop.change(projections=configuration)
    shop.daemon.start()
    shop.until_shown(after, "names")
    until(lambda: shop.daemon.delay() < 30, 20, "the delay is that of an idle source")
