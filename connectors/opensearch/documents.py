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


class OpenSearchDocuments:
    """The document reader. Any thread may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get(
        self, index: str, document_id: str, routing: str | None = None
    ) -> tuple[int, bytes] | None:
        """Version and document, whether searchable yet or not; None if there is none."""
        path = f"/{quote(index, safe='')}/_doc/{quote(document_id, safe='')}"
        params = {} if routing is None else {"routing": routing}
        return document_in(
            self._client.send("read a document", "GET", path, params=params, ok=(NOT_FOUND,))
        )


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
