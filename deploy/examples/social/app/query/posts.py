"""The posts of one account: causal where they are one's own, since their author looks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from deploy.examples.social.app.query.source import posts_of

if TYPE_CHECKING:
    from deploy.examples.showcase.reading import Reader

SHOWN: Final = 20
FIELDS: Final = ["id", "body", "posted_at", "author.handle", "likes"]


def posts(reader: Reader, handle: str) -> list[dict[str, Any]]:
    """The newest posts of somebody."""
    body = {
        "query": {"term": {"author.handle": handle}},
        "sort": [{"posted_at": "desc"}, {"id": "desc"}],
        "size": SHOWN,
        "_source": FIELDS,
    }
    function = "own-posts" if handle == reader.person.name else "posts"
    found = reader.read(
        "posts", body, function=function, fallback=lambda source: posts_of(source, handle)
    )
    return [{**each, "author": each["author"]["handle"]} for each in found.documents]
