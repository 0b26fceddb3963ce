"""Trends: aggregations at the time of the query, so nobody keeps counters for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from deploy.examples.showcase.reading import Reader

NEWEST: Final = 200
"""Posts that trends are made of."""
SHOWN: Final = 15
PIVOT: Final = "7d"
"""After so long a post scores half: the newest score most, at whatever rate people post."""


class Trend(NamedTuple):
    """A tag, and in how many of the newest posts it is."""

    tag: str
    posts: int


def trends(reader: Reader) -> list[Trend]:
    """The tags of the newest posts, the most frequent first."""
    body = {
        "query": {"distance_feature": {"field": "posted_at", "origin": "now", "pivot": PIVOT}},
        "size": 0,
        "aggs": {
            "newest": {
                "sampler": {"shard_size": NEWEST},
                "aggs": {"tags": {"terms": {"field": "tags", "size": SHOWN}}},
            }
        },
    }
    found = reader.read("posts", body, function="trends").aggregations
    return [Trend(each["key"], each["doc_count"]) for each in found["newest"]["tags"]["buckets"]]
