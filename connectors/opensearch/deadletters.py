"""Keeps dead letters as documents of an index of our own.

Document and row are stored as JSON text in fields that are not indexed: the value that the read
model's index rejected would otherwise be rejected here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from cdc_daemon.errors import RetryError, SinkError
from cdc_daemon.events.stored import letter_key, letter_of, letter_parts
from connectors.opensearch.errors import NOT_FOUND, explain
from connectors.opensearch.mapping import KEPT_ONLY
from connectors.opensearch.ownindex import OwnIndex
from connectors.opensearch.refresh import refresh

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import DeadLetter
    from connectors.opensearch.client import Client

REQUEST_BYTES: Final = 2_000_000
"""A wholly rejected batch makes letters of twice its size: more than a server takes at once."""
_KEYWORD: Final = {"type": "keyword", "ignore_above": 1024}

INDEX: Final = OwnIndex(
    "cdc-daemon-deadletters",
    {
        "pipeline": _KEYWORD,
        "projection": _KEYWORD,
        "table": _KEYWORD,
        "id": _KEYWORD,
        "position": {"type": "long"},
        "reason": _KEYWORD,
        "time": {"type": "date", "format": "strict_date_optional_time"},
        "explanation": KEPT_ONLY,
        "document": KEPT_ONLY,
        "row": KEPT_ONLY,
    },
)
NEWEST_FIRST: Final = [{"time": "desc"}, {"position": "desc"}]


def _requests(letters: Sequence[DeadLetter]) -> Iterator[list[bytes]]:
    """The lines of bulk requests of about `REQUEST_BYTES`: a letter is larger than its document."""
    lines: list[bytes] = []
    size = 0
    for letter in letters:
        action = orjson.dumps({"index": {"_index": INDEX.name, "_id": letter_key(letter)}})
        line = b"%b\n%b\n" % (action, orjson.dumps(letter_parts(letter)))
        lines.append(line)
        size += len(line)
        if size >= REQUEST_BYTES:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


class OpenSearchDeadLetters:
    """The dead letter store. Any thread may use it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Return when they are durable: how many were new.

        Adding one twice keeps one: its key says what it is.
        """
        if not letters:
            return 0
        INDEX.ensure(self._client)
        return sum(self._store(lines) for lines in _requests(letters))

    def _store(self, lines: Sequence[bytes]) -> int:
        body = b"".join(lines)
        answer = self._client.ask("store dead letters", "POST", "/_bulk", body=body)
        if answer["errors"]:
            _raise_first_failure(answer)
        return sum(item["index"]["result"] == "created" for item in answer["items"])

    def list(self, pipeline: str, *, limit: int) -> Sequence[tuple[str, DeadLetter]]:
        """The newest ones with their keys, newest first."""
        query = {"query": _of(pipeline), "sort": NEWEST_FIRST, "size": limit}
        hits = self._search("_search", query).get("hits", {}).get("hits", [])
        return [(hit["_id"], letter_of(hit["_source"])) for hit in hits]

    def get(self, key: str) -> DeadLetter | None:
        """One dead letter by its key."""
        path = f"/{INDEX.name}/_doc/{quote(key, safe='')}"
        found = self._client.ask("read a dead letter", "GET", path, ok=(NOT_FOUND,))
        return letter_of(found["_source"]) if found.get("found") else None

    def count(self, pipeline: str) -> int:
        """How many there are."""
        return int(self._search("_count", {"query": _of(pipeline)}).get("count", 0))

    def _search(self, what: str, query: dict[str, Any]) -> dict[str, Any]:
        """Search what is there now; nothing if no dead letter was ever stored."""
        if not self._client.exists("look for dead letters", f"/{INDEX.name}"):
            return {}
        refresh(self._client, [INDEX.name])
        path = f"/{INDEX.name}/{what}"
        found: dict[str, Any] = self._client.ask("read dead letters", "POST", path, body=query)
        return found


def _of(pipeline: str) -> dict[str, Any]:
    return {"term": {"pipeline": pipeline}}


def _raise_first_failure(answer: dict[str, Any]) -> None:
    for item in answer["items"]:
        outcome = item["index"]
        if "error" in outcome:
            kind, text = explain(outcome["error"])
            if outcome["status"] == 429 or outcome["status"] >= 500:  # noqa: PLR2004 - HTTP
                raise RetryError(f"Dead letters can't be stored for now: {kind}: {text}")
            raise SinkError(
                f"A dead letter can't be stored in index {INDEX.name!r}: {kind}: {text}. If the"
                " index was made by hand, delete it: the daemon makes it again."
            )
