"""An index that the daemon keeps for itself: made when it is first needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.opensearch.errors import RefusedError
from connectors.opensearch.indices import TAKEN

if TYPE_CHECKING:
    from connectors.opensearch.client import Client


@dataclass(frozen=True, slots=True)
class OwnIndex:
    """Its name and the fields of its strict mapping."""

    name: str
    properties: dict[str, Any]

    def ensure(self, client: Client) -> None:
        """Create it unless it is there; asked each time, so that a deleted one comes back."""
        if client.exists("look for an index", f"/{self.name}"):
            return
        settings = {
            "index.hidden": True,
            "index.number_of_shards": 1,
            # One copy more as soon as there is a second node.
            "index.auto_expand_replicas": "0-1",
            "index.translog.durability": "request",
            "index.refresh_interval": "30s",
            "index.default_pipeline": "_none",
            "index.final_pipeline": "_none",
        }
        mappings = {"dynamic": "strict", "properties": self.properties}
        body = {"settings": settings, "mappings": mappings}
        try:
            client.send("create an index", "PUT", f"/{self.name}", body=body)
        except RefusedError as refusal:
            if refusal.reason != TAKEN:
                raise
