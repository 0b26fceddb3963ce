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

    def lately(self, names: Sequence[str]) -> list[tuple[str, Hit]]:
        """What is in every generation of these by now, searched or not, with its read model.

        It may leave out what it gave before.
        """

    def remove(self, names: Sequence[str]) -> None:
        """Leave nothing of these behind."""


def hits(opensearch: Rest, name: str, **query: Any) -> list[Hit]:
    """What a search finds, with versions."""
    query = {"size": MOST_DOCUMENTS, "version": True, **query}
    found = parse(opensearch.text("POST", f"/{name}/_search", query))
    assert found["_shards"]["failed"].text == "0", found["_shards"]
    whole: list[Hit] = found["hits"]["hits"]
    assert len(whole) < MOST_DOCUMENTS
    return whole


class IndexSearch:
    """`Searched` of OpenSearch."""

    def __init__(self, opensearch: Rest) -> None:
        self._opensearch = opensearch
        self._numbers: dict[str, int] = {}
        """By index with one shard: the last write that was given; each has the next number."""

    def hits(self, name: str) -> list[Hit]:
        """What a search finds."""
        return hits(self._opensearch, name)

    def lately(self, names: Sequence[str]) -> list[tuple[str, Hit]]:
        """Refreshed by us: what the daemon writes between two refreshes counts as well."""
        indices = ",".join(f"{name}-*" for name in names)
        self._opensearch.text("POST", f"/{indices}/_refresh")
        given = [
            {"bool": {"filter": [{"term": {"_index": index}}, {"range": {"_seq_no": {"lte": to}}}]}}
            for index, to in self._numbers.items()
        ]
        new = {"bool": {"must_not": given}}
        found = hits(self._opensearch, indices, query=new, seq_no_primary_term=True)
        for hit in found:
            if "_routing" not in hit:
                number = int(hit["_seq_no"].text)
                self._numbers[hit["_index"]] = max(number, self._numbers.get(hit["_index"], -1))
        return [(hit["_index"].rpartition("-")[0], hit) for hit in found]

    def remove(self, names: Sequence[str]) -> None:
        """Delete their indices."""
        self._opensearch.delete("/" + ",".join(f"{name}-*" for name in names))
        self._numbers.clear()
