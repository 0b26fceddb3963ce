"""How the rows of one relation are read from the stream: a plan for each column. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import Unreadable
from cdc_daemon.values import SpecialValueError

if TYPE_CHECKING:
    from cdc_daemon.events import Relation

Encoder: TypeAlias = Callable[[bytes], bytes]


class PassThrough:
    """The marker of a column whose text is JSON already: no call in the hot path."""

    __slots__ = ()


PASS: Final = PassThrough()

ColumnPlan: TypeAlias = Encoder | PassThrough | None
"""What to do with a column: convert it, take it as it is, or (None) leave it out."""


@dataclass(frozen=True, slots=True)
class StreamColumn:
    """A column as a Relation message describes it."""

    name: str
    type_oid: int
    modifier: int
    in_key: bool


@dataclass(frozen=True, slots=True)
class RelationMessage:
    """A table as the stream describes it, before the first change and after each change of it."""

    oid: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[StreamColumn, ...]


@dataclass(frozen=True, slots=True)
class TuplePlan:
    """How the rows of one relation become `Row`s: one column plan a streamed column."""

    relation: Relation
    columns: tuple[ColumnPlan, ...]
    lacking: int = 0
    """How many columns at the end of the relation weren't there yet: they are null."""


def misfit(relation: Relation, columns: int, why: str) -> TuplePlan:
    """The plan of a table that isn't what `relation` says: that a row changed, and no values."""
    stand_in = replace(relation, columns=(), stands_for=relation, misfit=why)
    return TuplePlan(stand_in, (None,) * columns)


TYPE_CHANGED: Final = "type_changed"
"""The one reason that is no matter of a row: all rows of the table would be rejected."""


def tolerant(plans: tuple[ColumnPlan, ...]) -> tuple[ColumnPlan, ...]:
    """The same plans, which give `Special` and `Unreadable` where the others raise."""
    return tuple(
        plan if plan is None or isinstance(plan, PassThrough) else _tolerant(plan) for plan in plans
    )


def _tolerant(encode: Encoder) -> Encoder:
    def convert(raw: bytes) -> bytes | Unreadable:
        try:
            return encode(raw)
        except SpecialValueError as error:
            return error.value
        except RejectedError as error:
            if error.reason == TYPE_CHANGED:
                raise
            shown = None if error.concealed else raw
            return Unreadable(error.reason, error.explanation, shown)

    return convert  # type: ignore[return-value]  # only rows take what it gives, and they may


PlanFor: TypeAlias = Callable[[RelationMessage], TuplePlan | None]
"""Gives the plan of a relation; None for one that no mapping reads."""
