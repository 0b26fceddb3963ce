"""What the stream has said of tables, to all and within transactions that come in parts. Pure.

A relation that an open transaction describes may be altered by it: it holds for that one alone, and
for all once it commits.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from connectors.postgres.tupleplan import TuplePlan

NONE_YET: Final = 0
"""The number of no transaction."""


Plan: TypeAlias = "TuplePlan | None"
"""None where no mapping reads the relation."""


@dataclass(slots=True)
class Described:
    """The relations that the stream has described: to all, or to one transaction."""

    plans: dict[int, Plan] = field(default_factory=dict)
    since: dict[int, int] = field(default_factory=dict)
    """Which description of the stream it was, counted from its beginning."""
    tolerant: dict[int, TuplePlan] = field(default_factory=dict)
    """Made when the first row needs it: a table may have a special value in each."""
    misfits: dict[int, TuplePlan] = field(default_factory=dict)
    """The same, for rows whose values aren't of their types."""

    def describe(self, oid: int, plan: Plan, number: int) -> None:
        """A relation is like this from now on."""
        self.plans[oid] = plan
        self.since[oid] = number
        self.tolerant.pop(oid, None)
        self.misfits.pop(oid, None)

    def learn(self, other: Described) -> None:
        """That transaction has committed: of two descriptions the later one holds."""
        for oid, number in other.since.items():
            if number > self.since.get(oid, NONE_YET):
                self.describe(oid, other.plans[oid], number)


@dataclass(slots=True)
class Streamed:
    """A transaction that comes in parts."""

    xid: int
    described: Described = field(default_factory=Described)
    subxid: int = NONE_YET
    """The one that the changes just now belong to."""


class StreamedTransactions:
    """Those of one stream that are open, and what all others were told."""

    def __init__(self) -> None:
        self._open: dict[int, Streamed] = {}
        self._numbers = itertools.count(1)
        self.to_all = Described()

    def describe(self, part: Streamed | None, oid: int, plan: Plan) -> None:
        """A relation is like this, to the transaction of a part, or to all that come whole."""
        described = self.to_all if part is None else part.described
        described.describe(oid, plan, next(self._numbers))

    def part(self, xid: int) -> Streamed:
        """The transaction of which a part begins."""
        streamed = self._open.setdefault(xid, Streamed(xid))
        streamed.subxid = NONE_YET
        return streamed

    def commit(self, xid: int) -> None:
        """It ends: what it was told of tables holds for all."""
        if streamed := self._open.pop(xid, None):
            self.to_all.learn(streamed.described)

    def roll_back(self, xid: int) -> None:
        """It never was."""
        self._open.pop(xid, None)
