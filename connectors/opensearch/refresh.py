"""Makes what was written searchable."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from cdc_daemon.errors import RetryError, SinkError
from connectors.opensearch.errors import NOT_FOUND, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.opensearch.client import Client


def refresh(client: Client, indices: Sequence[str]) -> None:
    """Return when everything written before the call is searchable.

    Raises RetryError if a shard failed: what it holds may not be searchable yet. Raises SinkError
    if an index is gone.
    """
    if not indices:
        return
    path = f"/{quote(','.join(indices), safe=',')}/_refresh"
    try:
        shards = client.ask("refresh an index", "POST", path)["_shards"]
    except RefusedError as refusal:
        if refusal.status != NOT_FOUND:
            raise
        raise SinkError(
            f"An index was deleted under us: {refusal}. Restart the daemon to build it again."
        ) from refusal
    if shards["failed"]:
        message = f"{shards['failed']} of {shards['total']} shards failed to refresh."
        raise RetryError(message)
