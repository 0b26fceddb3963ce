"""Deletes what is older than a version: for a truncate, which names no documents.

Not by delete-by-query: that raises versions by one on its own, so that a replay of the very same
changes would lose documents. Here each document is deleted at the version just below the bound:
whatever was written at the bound or above it, meanwhile or earlier, stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from cdc_daemon.errors import RetryError, SinkError
from cdc_daemon.events import DocumentOperation
from connectors.opensearch.refresh import refresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.ports import WriteResult
    from connectors.opensearch.client import Client

PAGE: Final = 5000
KEEP_ALIVE: Final = "5m"
"""Between two pages there is one bulk request of deletes, which may wait for an overloaded node."""


def delete_before(
    client: Client,
    index: str,
    version: int,
    write: Callable[[Sequence[DocumentOperation]], WriteResult],
) -> int:
    """Delete every document of `index` whose version is lower; return how many were there.

    Raises RetryError if a part could not be deleted for now: do it again from the start.
    """
    refresh(client, [index])
    deleted = 0
    for hits in _pages(client, index):
        old = [_gone(index, hit, version) for hit in hits if hit["_version"] < version]
        deleted += _delete(old, write)
    return deleted


def _gone(index: str, hit: dict[str, Any], version: int) -> DocumentOperation:
    """With its routing: on the shard of its id a delete finds nothing, and answers as well."""
    routing = hit.get("_routing")
    return DocumentOperation(
        index,
        orjson.dumps(hit["_id"]),
        version - 1,
        None,
        None if routing is None else orjson.dumps(routing),
    )


def _delete(
    old: Sequence[DocumentOperation],
    write: Callable[[Sequence[DocumentOperation]], WriteResult],
) -> int:
    result = write(old)
    if result.retry:
        raise RetryError("Not every old document could be deleted.", reason=result.retry_reason)
    if result.rejected:
        raise SinkError(f"An old document can't be deleted: {result.rejected[0].explanation}")
    return len(old) - len(result.stale)


def _pages(client: Client, index: str) -> Iterator[list[dict[str, Any]]]:
    """Ids, routings and versions, as of one moment. A scroll: every OpenSearch since 1.0 has it."""
    query = {"size": PAGE, "sort": ["_doc"], "_source": False, "version": True}
    page = client.ask(
        "read documents",
        "POST",
        f"/{quote(index)}/_search",
        params={"scroll": KEEP_ALIVE},
        body=query,
    )
    try:
        while True:
            _require_all_shards(page)
            if not page["hits"]["hits"]:
                return
            yield page["hits"]["hits"]
            body = {"scroll": KEEP_ALIVE, "scroll_id": page["_scroll_id"]}
            page = client.ask("read documents", "POST", "/_search/scroll", body=body)
    finally:
        body = {"scroll_id": page["_scroll_id"]}
        client.send("end a scroll", "DELETE", "/_search/scroll", body=body, ok=(404,))


def _require_all_shards(page: Any) -> None:
    if page["_shards"]["failed"] or page["timed_out"]:
        raise RetryError("Not every shard answered: some old documents may be missing.")
