"""What waiting has come to, and what a search gave. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdc_daemon.client.tokens import Token


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far searches are, as the daemon has said it."""

    reached: bool
    """What was asked for can be found, and the read model is no staler than the policy allows."""
    waited_seconds: float = 0.0
    staleness_seconds: float | None = None
    """How far searches were behind the source; None: nobody could say, or nobody was asked."""
    why: str = ""
    """Why it isn't reached, in one sentence."""
    searchable: Token | None = None
    """Everything up to here could be found; None: not known, since rows are being loaded."""
    policy: str | None = None
    strategy: str = "causal"
    on_timeout: str = "error"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search gave, and how true it is."""

    answer: Any
    """OpenSearch's answer, or what the fallback returned."""
    outcome: Outcome
    from_source: bool = False
    """The fallback has answered: the read model didn't get there in time."""

    @property
    def is_stale(self) -> bool:
        """It may lack what was waited for; `outcome.staleness_seconds` says how old it may be."""
        return not self.outcome.reached and not self.from_source

    @property
    def documents(self) -> Any:
        """The sources of the hits, in their order; what the fallback returned, if it was asked."""
        if self.from_source:
            return self.answer
        return [hit["_source"] for hit in self.answer["hits"]["hits"]]
