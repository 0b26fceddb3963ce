"""Reads a read model as the policy of a function and a user class wants it, and says how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg

from cdc_daemon.client import commit
from deploy.examples.showcase.receipt import OFF, SOURCE, STALE, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.client import ReadModels, SearchResult, Session
    from deploy.examples.showcase.person import Person

EVENTUAL: Final = "eventual"
"""The policy that every daemon has; by it one is told how stale a read model is, at once."""
ASK_SECONDS: Final = 1.0
"""A page is shown without the answer where no daemon is there."""

Documents: TypeAlias = list[dict[str, Any]]
Fallback: TypeAlias = "Callable[[psycopg.Connection[Any]], Documents]"
"""The same question put to the source."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found."""

    documents: Documents
    aggregations: dict[str, Any]


@dataclass(slots=True)
class Reader:
    """Reads for one request, and collects the receipts of it."""

    models: ReadModels
    session: Session
    person: Person
    database_url: str
    receipts: list[Receipt] = field(default_factory=list)

    def read(
        self,
        projection: str,
        body: dict[str, Any],
        *,
        function: str,
        fallback: Fallback | None = None,
    ) -> Reading:
        """Search, as the rule for `function` says. Raises what the client and its drivers raise."""
        # Asked before, so that what is found is no older than that.
        before = self.models.wait(projection=projection, policy=EVENTUAL, timeout=ASK_SECONDS)
        result = self._search(projection, body, function, fallback)
        self.receipts.append(self._receipt(function, result, before.staleness_seconds))
        if result.from_source:
            return Reading(result.answer, {})
        return Reading(result.documents, result.answer.get("aggregations", {}))

    def _search(
        self, projection: str, body: dict[str, Any], function: str, fallback: Fallback | None
    ) -> SearchResult:
        if not self.person.waits:
            return self.models.search(projection, body, policy=EVENTUAL)
        return self.models.search(
            projection,
            body,
            session=self.session,
            function=function,
            user=self.person.user_class,
            fallback=None if fallback is None else lambda: self._ask_source(fallback),
        )

    def _ask_source(self, fallback: Fallback) -> Documents:
        with psycopg.connect(self.database_url) as source:
            documents = fallback(source)
            # The next search must show no less than this: it waits for what was just seen.
            self.session.note(commit(source))
        return documents

    def _receipt(self, function: str, result: SearchResult, before: float | None) -> Receipt:
        outcome = result.outcome
        badge = outcome.strategy
        if result.is_stale:
            badge = STALE
        if result.from_source:
            badge = SOURCE
        if not self.person.waits:
            badge = OFF
        known = outcome.staleness_seconds
        stale = before if known is None else known
        what = function.replace("-", " ")
        return Receipt(what, badge, outcome.policy, outcome.waited_seconds, stale)
