"""Looks documents up by id, byte for byte as they were written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from connectors.opensearch.errors import NOT_FOUND

if TYPE_CHECKING:
    from connectors.opensearch.client import Client

SOURCE: Final = '"_source":'
"""In an answer this text can only be the key: inside of a string its quotes are escaped."""
MOST_ROUTINGS: Final = 100
"""Looked at for one id: there is one, unless somebody else has written it elsewhere."""


class OpenSearchDocuments:
    """The document reader. Any thread may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(
        self, index: str, document_id: str, routing: str | None = None
    ) -> tuple[int, bytes] | None:
        """Version and document, whether searchable yet or not; None if there is none.

        Without `routing` also one that is in the shard of another, once searches have found it.
        """
        there = self._in_shard(index, document_id, routing)
        if there is not None or routing is not None:
            return there
        routings = self._routings(index, document_id)
        found = [self._in_shard(index, document_id, one) for one in routings]
        return max((one for one in found if one is not None), default=None)

    def _in_shard(
        self, index: str, document_id: str, routing: str | None
    ) -> tuple[int, bytes] | None:
        path = f"/{quote(index, safe='')}/_doc/{quote(document_id, safe='')}"
        params = {} if routing is None else {"routing": routing}
        return document_in(
            self._client.send("read a document", "GET", path, params=params, ok=(NOT_FOUND,))
        )

    def _routings(self, index: str, document_id: str) -> set[str]:
        """Those under which there is a document of that id."""
        path = f"/{quote(index, safe='')}/_search"
        query = {"query": {"ids": {"values": [document_id]}}, "size": MOST_ROUTINGS}
        body = {**query, "_source": False}
        answer = self._client.send(
            "search for a document", "POST", path, body=body, ok=(NOT_FOUND,)
        )
        hits = json.loads(answer).get("hits", {}).get("hits", [])
        return {str(hit["_routing"]) for hit in hits if "_routing" in hit}


def document_in(answer: str) -> tuple[int, bytes] | None:
    """Version and document of an answer; the document is cut out of it, not parsed.

    Parsing and writing it again would lose digits of numbers.
    """
    found: dict[str, Any] = json.loads(answer)
    if not found.get("found"):
        return None
    start = answer.index(SOURCE) + len(SOURCE)
    _, end = json.JSONDecoder().raw_decode(answer, start)
    return int(found["_version"]), answer[start:end].encode()
