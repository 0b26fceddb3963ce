"""Finding hotels: eventual, since nobody minds a review that is missing for a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from deploy.examples.showcase.refusal import whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.examples.showcase.reading import Reader, Reading

SHOWN: Final = 20
WITHOUT: Final = ["rooms", "contact"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody looks for."""

    words: str
    beds: int | None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Wish:
        """Read `words` and `beds`. Raises RefusedError."""
        beds = fields.get("beds")
        return cls(fields.get("words", "").strip(), whole_number(beds) if beds else None)

    @property
    def conditions(self) -> list[dict[str, Any]]:
        """The same as OpenSearch has it."""
        wanted: list[dict[str, Any]] = [{"term": {"status": "open"}}]
        if self.words:
            wanted.append({"match": {"label": {"query": self.words, "operator": "and"}}})
        if self.beds:
            beds = {"term": {"rooms.beds": self.beds}}
            wanted.append({"nested": {"path": "rooms", "query": beds}})
        return wanted


def find(reader: Reader, wish: Wish) -> Reading:
    """The best hotels that are as wished."""
    body = {
        "query": {"bool": {"filter": wish.conditions}},
        "sort": [{"rating": {"order": "desc", "missing": "_last"}}, "id"],
        "size": SHOWN,
        "_source": {"excludes": WITHOUT},
    }
    return reader.read("hotels", body, function="hotels")
