"""Asks OpenSearch as an application would: one connection, plain HTTP, JSON."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self
from urllib.parse import urlsplit

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TIMEOUT_SECONDS: Final = 30
PAGE_DOCUMENTS: Final = 2000
KEEP_ALIVE: Final = "1m"


class Search:
    """One connection to one server; not to be shared by threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def ask(self, method: str, path: str, body: object = None) -> str:
        """Send `body` as JSON; return the answer's text. Raises StopError like `send`."""
        return self.send(method, path, None if body is None else json.dumps(body))

    def send(self, method: str, path: str, text: str | None) -> str:
        """Return the answer's text. Raises StopError if there is none, or a refusal."""
        try:
            content_of = None if text is None else text.encode()
            self._connection.request(method, path, content_of, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            content = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._fail(method, path, repr(error))
        if answer.status >= http.client.BAD_REQUEST:
            self._fail(method, path, f"{answer.status} {content[:500]}")
        return content

    def finds(self, index: str, query: dict[str, Any]) -> bool:
        """Whether a search (not a lookup by id) finds anything now."""
        return self.first(index, query, []) is not None

    def first(
        self, index: str, query: dict[str, Any], fields: Sequence[str]
    ) -> dict[str, Any] | None:
        """Those fields of the document that a search ranks first now; None if it finds none."""
        return next(iter(self.some(index, query, fields, 1)), None)

    def some(
        self, index: str, query: dict[str, Any], fields: Sequence[str], most: int
    ) -> list[dict[str, Any]]:
        """Those fields of the documents that a search ranks first now, at most so many."""
        body = {"query": query, "size": most, "_source": fields, "track_total_hits": False}
        found = json.loads(self.ask("POST", f"/{index}/_search?request_cache=false", body))
        return [hit.get("_source", {}) for hit in found["hits"]["hits"]]

    def count(self, index: str, query: dict[str, Any]) -> int:
        """How many documents a search finds now."""
        counted = json.loads(self.ask("POST", f"/{index}/_count", {"query": query}))
        return int(counted["count"])

    def documents(
        self, index: str, parse: Callable[[str], Any] = json.loads
    ) -> Iterator[tuple[str, Any]]:
        """Id and content of every document that a search can find, all at one moment (PIT)."""
        path = f"/{index}/_search/point_in_time?keep_alive={KEEP_ALIVE}"
        pit = json.loads(self.ask("POST", path))["pit_id"]
        try:
            yield from self._pages(pit, parse)
        finally:
            self.ask("DELETE", "/_search/point_in_time", {"pit_id": [pit]})

    def _pages(self, pit: str, parse: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
        body: dict[str, Any] = {
            "size": PAGE_DOCUMENTS,
            "pit": {"id": pit, "keep_alive": KEEP_ALIVE},
            "sort": [{"_shard_doc": "asc"}],
            "track_total_hits": False,
        }
        while True:
            text = self.ask("POST", "/_search", body)
            hits = parse(text)["hits"]["hits"]
            if not hits:
                return
            for hit in hits:
                yield hit["_id"], hit["_source"]
            # Sort values go back as they came: what `parse` makes of numbers may not.
            body["search_after"] = json.loads(text)["hits"]["hits"][-1]["sort"]

    def _fail(self, method: str, path: str, why: str) -> NoReturn:
        raise StopError(f"OpenSearch at {self._url} did not answer {method} {path}: {why}")
