"""The documents that joined projections give out, kept as a sink would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cdc_daemon.assembly import Bounds, JoinedProjections, Written, wanted
from tests.generators.json_meaning import parse
from tests.generators.states import fit_empty

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence
    from random import Random
    from typing import TypeAlias

    from cdc_daemon.assembly import Pending
    from cdc_daemon.events import Position
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Staged, Store

    Meant: TypeAlias = "tuple[Position, dict[str, Any] | None]"

ALL = 10**6


class KeptDocuments:
    """A state with these plans, and what has come of it; much of that is left to fan-outs."""

    def __init__(
        self, plans: Sequence[Plan], store: Store, counts: Counter[str], rng: Random
    ) -> None:
        fit_empty(store, wanted(plans))
        self._rng = rng
        self._bounds = Bounds(
            rng.randint(1, 3), rng.choice((1, 5, 100)), rng.randint(1, 3), rng.choice((1, 3, ALL))
        )
        self._projections = JoinedProjections(plans, store, self._bounds)
        self._plans, self._store = plans, store
        self._counts = counts
        self._kept: dict[str, dict[str, bytes]] = {plan.name: {} for plan in plans}
        self._meant: dict[str, list[Meant]] = {plan.name: [] for plan in plans}
        """What documents were at the end of each batch, from the last on that is complete."""

    def apply(self, batch: Sequence[tuple[Staged, Position]]) -> None:
        """Apply transactions in one batch, and keep what is given out."""
        pending = self._projections.apply(batch)
        if self._projections.has_more:
            self._counts["not all returned"] += 1
            assert len(pending) <= len(self._projections.pending())
            pending = self._projections.pending()
        self._give_out(pending, batch[-1][1])
        pieces = self._rng.choice((0, 0, 1, 2, ALL))
        while pieces and self._projections.wide_open():
            self._fan_out(batch[-1][1])
            pieces -= 1
        for staged, _ in batch:
            staged.close()

    def differing(
        self, plan: Plan, meant: dict[str, Any] | None, position: Position
    ) -> Iterator[str]:
        """The documents that are neither what is meant now nor, while a fan-out is open, what was
        meant since the projection was complete. Nobody knows what is meant where it is None.
        """  # noqa: D205 - one sentence
        oldest = self._projections.wide_open().get(plan.name)
        complete = position if oldest is None else oldest - 1
        said = [*self._meant[plan.name], (position, meant)]
        while len(said) > 1 and said[1][0] <= complete:
            del said[0]
        self._meant[plan.name] = said
        self._counts["compared while incomplete"] += oldest is not None
        allowed = [one for _, one in said if one is not None]
        if len(allowed) < len(said):
            return
        kept = {key: parse(body) for key, body in self._kept[plan.name].items()}
        for key in kept.keys() | {key for one in allowed for key in one}:
            may_be = [one.get(key) for one in allowed]
            if kept.get(key) not in may_be:
                yield f"{key}: {kept.get(key)}\nmeant: {may_be}"

    def _fan_out(self, position: Position) -> None:
        pending = self._projections.fan_out()
        self._counts["pieces"] += 1
        self._counts["fanned out"] += len(pending)
        self._give_out(pending, position)

    def _give_out(self, pending: list[Pending], position: Position) -> None:
        if self._rng.random() < 0.1:
            self._counts["restarts"] += 1
            self._projections = JoinedProjections(self._plans, self._store, self._bounds)
            assert set(pending) == set(self._projections.pending())
        at, documents, _ = self._projections.assemble(pending)
        assert at == position
        assert len(documents) == len(pending) == len(set(pending))
        # What is deleted in one shard may be written in another.
        for name, address, body, _ in sorted(documents, key=lambda one: one.body is not None):
            self._keep(name, address, body)
        self._projections.reach(
            position, [Written(one.projection, one.address, position) for one in pending]
        )
        assert not self._projections.pending()

    def _keep(self, name: str, address: bytes, body: bytes | None) -> None:
        key, _ = json.JSONDecoder().raw_decode(address.decode())
        kept = self._kept[name]
        self._counts["given out"] += 1
        self._counts["as before"] += kept.get(key) == body
        if body is None:
            kept.pop(key, None)
        else:
            kept[key] = body
