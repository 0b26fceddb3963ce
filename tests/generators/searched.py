"""Where documents are looked for, whatever sink has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tests.generators.json_meaning import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.generators.rest import Rest

MOST_DOCUMENTS = 5000

Hit: TypeAlias = "dict[str, Any]"
"""`_index`, `_id`, `_version` (a `Number`), `_source`, and `_routing` where there is one."""


class Searched(Protocol):
    """The read models of a sink."""

    def hits(self, name: str) -> list[Hit]:
        """What a search finds; one document may be there twice by mistake."""

    def everywhere(self, name: str) -> list[Hit]:
        """What is in every generation by now, searched or not."""

    def remove(self, names: Sequence[str]) -> None:
        """Leave nothing of these behind."""


def hits(opensearch: Rest, name: str) -> list[Hit]:
    """What a search finds, with versions."""
    query = {"size": MOST_DOCUMENTS, "version": True}
    found = parse(opensearch.text("POST", f"/{name}/_search", query))
    assert found["_shards"]["failed"].text == "0", found["_shards"]
    whole: list[Hit] = found["hits"]["hits"]
    assert len(whole) < MOST_DOCUMENTS
    return whole


class IndexSearch:
    """`Searched` of OpenSearch."""

    def __init__(self, opensearch: Rest) -> None:
        self._opensearch = opensearch

    def hits(self, name: str) -> list[Hit]:
        """What a search finds."""
        return hits(self._opensearch, name)

    def everywhere(self, name: str) -> list[Hit]:
        """Refreshed by us: what the daemon writes between two refreshes counts as well."""
        self._opensearch.text("POST", f"/{name}-*/_refresh")
        return hits(self._opensearch, f"{name}-*")

    def remove(self, names: Sequence[str]) -> None:
        """Delete their indices."""
        self._opensearch.delete("/" + ",".join(f"{name}-*" for name in names))
