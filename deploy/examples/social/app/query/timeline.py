"""What somebody is shown: eventual, with a policy of its own for followers of influencers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deploy.examples.social.app.query.source import timeline_of

if TYPE_CHECKING:
    from deploy.examples.showcase.reading import Reader


def timeline(reader: Reader, handle: str) -> list[dict[str, Any]]:
    """The newest posts of those whom `handle` follows."""
    found = reader.read(
        "timelines",
        {"query": {"term": {"handle": handle}}},
        function="timeline",
        fallback=lambda source: timeline_of(source, handle),
    )
    return [post for each in found.documents for post in each["posts"]]
