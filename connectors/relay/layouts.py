"""How rows of the log become rows of a relation, as far as what both say of the table fits. Pure.

The log describes tables as the server's stream did, so what can be told of their columns is the
same (`rowplan`): a row may be from before the table was altered, or from after.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from connectors.postgres.rowplan import tuple_plan
from connectors.postgres.tupleplan import RelationMessage, StreamColumn, misfit
from connectors.relay.decoding import RowPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.relay.log import Layout

_IDENTITIES: Final = {"default": "d", "full": "f", "index": "i", "nothing": "n"}


def row_plan(layout: Layout, relation: Relation, order: Sequence[str]) -> RowPlan:
    """The columns of `relation`, out of such rows. `order`: as `Relation.order`, as of now.

    A misfit where the table had, or has by now, another shape than `relation`.
    """
    why = layout.misfit or _protection_reason(layout, relation)
    if why:
        plan = misfit(relation, 0, why)
        return RowPlan(plan.relation, ())
    plan = tuple_plan(
        _as_message(layout),
        replace(relation, order=_streamed(relation, relation.order)),
        {*order}.issuperset,
        _streamed(relation, order),
    )
    if plan.relation.stands_for is not None:
        return RowPlan(replace(plan.relation, stands_for=relation), ())
    places = [place for place, column in enumerate(plan.columns) if column is not None]
    return RowPlan(relation, tuple(places), plan.lacking)


def _as_message(layout: Layout) -> RelationMessage:
    """What the server's stream has said of the table."""
    columns = tuple(
        StreamColumn(column.name, column.type, -1, column.in_identity) for column in layout.columns
    )
    identity = _IDENTITIES[layout.replica_identity]
    return RelationMessage(0, layout.schema, layout.name, identity, columns)


def _streamed(relation: Relation, order: Sequence[str]) -> tuple[str, ...]:
    """What a rule leaves out is in no row, as if it had been dropped."""
    return tuple("" if name in relation.excluded else name for name in order)


def _protection_reason(layout: Layout, relation: Relation) -> str:
    logged = {column.name: column.protection for column in layout.columns}
    for column in relation.columns:
        digest = column.protection.digest if column.protection else ""
        if logged.get(column.name, digest) != digest:
            return f"in the log its column {column.name} is protected in another way"
    return ""
