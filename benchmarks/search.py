"""OpenSearch as a benchmark sees it from outside: bare HTTP over one kept connection."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, Final
from urllib.parse import urlsplit

JSON: Final = {"Content-Type": "application/json"}
NDJSON: Final = {"Content-Type": "application/x-ndjson"}
BAD: Final = 400


class Search:
    """One connection; one thread uses it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port, timeout=120
        )

    def ask(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> Any:
        """Send a request and return its JSON answer. Raises RuntimeError on an error status."""
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        answer = self.send(method, path, sent, JSON)
        return json.loads(answer) if answer else {}

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        """Send a request and return the bytes of its answer."""
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status >= BAD:
            raise RuntimeError(f"{method} {path}: {answer.status} {read[:500]!r}")
        return read

    def count(self, index: str, query: dict[str, Any] | None = None) -> int:
        """How many documents a search finds now; 0 if there is no such index."""
        found = self.ask(
            "POST",
            f"/{index}/_count?ignore_unavailable=true",
            {"query": query or {"match_all": {}}},
        )
        return int(found["count"])

    def drop(self, pattern: str) -> None:
        """Delete indices by name or pattern, then wait until no merge runs any more."""
        self.ask("DELETE", f"/{pattern}?expand_wildcards=all&ignore_unavailable=true")
        while self._merging():
            time.sleep(0.2)

    def version(self) -> str:
        """The server's version."""
        return str(self.ask("GET", "/")["version"]["number"])

    def _merging(self) -> bool:
        return bool(
            self.ask("GET", "/_stats/merge")["_all"]["total"].get("merges", {}).get("current")
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
