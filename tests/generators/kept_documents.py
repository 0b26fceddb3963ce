"""The documents that joined projections give out, kept as a sink would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cdc_daemon.assembly import JoinedProjections, Written, wanted
from tests.generators.json_meaning import parse
from tests.generators.states import fit_empty

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from cdc_daemon.events import Position
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Staged, Store


class KeptDocuments:
    """A state with these plans, and what has come of it."""

    def __init__(self, plans: Sequence[Plan], store: Store, counts: Counter[str]) -> None:
        fit_empty(store, wanted(plans))
        self._projections = JoinedProjections(plans, store)
        self._counts = counts
        self._kept: dict[str, dict[str, bytes]] = {plan.name: {} for plan in plans}

    def apply(self, batch: Sequence[tuple[Staged, Position]]) -> None:
        """Apply transactions in one batch, and keep what is given out."""
        pending = self._projections.apply(batch)
        position, documents, _ = self._projections.assemble(pending)
        assert position == batch[-1][1]
        assert len(documents) == len(pending) == len(set(pending))
        for name, address, body in documents:
            self._keep(name, address, body)
        self._projections.reach(
            position, [Written(one.projection, one.address, position) for one in pending]
        )
        assert not self._projections.pending()
        for staged, _ in batch:
            staged.close()

    def of(self, plan: Plan) -> dict[str, Any]:
        """By id."""
        return {key: parse(body) for key, body in self._kept[plan.name].items()}

    def _keep(self, name: str, address: bytes, body: bytes | None) -> None:
        key, _ = json.JSONDecoder().raw_decode(address.decode())
        kept = self._kept[name]
        self._counts["given out"] += 1
        self._counts["as before"] += kept.get(key) == body
        if body is None:
            kept.pop(key, None)
        else:
            kept[key] = body
