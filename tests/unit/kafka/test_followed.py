"""Which topics belong to which tables."""

from __future__ import annotations

import pytest

from connectors.kafka.followed import Followed
from connectors.kafka.topics import Topic

HOTEL = "public.hotel"


def topic(name: str, partitions: int) -> Topic:
    """As a cluster describes it."""
    return Topic(name, f"id-{name}", partitions, 3, frozenset())


@pytest.mark.parametrize(
    ("partitions", "is_ordered"), [({"a": 1}, True), ({"a": 2}, False), ({"a": 1, "b": 1}, False)]
)
def test_one_partition_alone_has_an_order(partitions: dict[str, int], *, is_ordered: bool) -> None:
    """Neither several of a topic nor several topics of a table have one."""
    topics = {name: topic(name, count) for name, count in partitions.items()}
    topics["other"] = topic("other", 12)
    followed = Followed({HOTEL: list(partitions), "public.room": ["other"]}, topics)
    assert followed.is_ordered(HOTEL) == is_ordered
