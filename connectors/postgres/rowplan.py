"""Which conversion each column needs, for the stream and for COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import SourceError
from cdc_daemon.values import json_encoder
from connectors.postgres.pgoutput import PASS, TuplePlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Column, Relation
    from connectors.postgres.pgoutput import ColumnPlan, RelationMessage


def column_plans(columns: Sequence[Column]) -> tuple[ColumnPlan, ...]:
    """The plan of each column."""
    return tuple(json_encoder(column.type) or PASS for column in columns)


def tuple_plan(message: RelationMessage, relation: Relation) -> TuplePlan:
    """The plan for streamed rows: the columns of `relation`, the others left out.

    Raises SourceError when the table has changed so that the mapping no longer fits it.
    """
    streamed = [column.name for column in message.columns]
    wanted = {column.name: column for column in relation.columns}
    if gone := [name for name in wanted if name not in streamed]:
        raise SourceError(
            f"table {relation.qualified_name} no longer streams the mapped column"
            f"{'s' if len(gone) > 1 else ''} {', '.join(gone)}: dropped or renamed. Correct the "
            "mapping and start again; the read model will be loaded anew"
        )
    in_order = [name for name in streamed if name in wanted]
    if in_order != list(wanted):
        raise SourceError(
            f"the columns of table {relation.qualified_name} have another order now: it was made "
            "anew. Start the daemon again; the read model will be loaded anew"
        )
    for column in message.columns:
        known = wanted.get(column.name)
        if known is not None and known.type.oid not in {0, column.type_oid}:
            raise SourceError(
                f"column {column.name} of table {relation.qualified_name} has another type now "
                f"(it was {known.type.declared}). Check the mapping and start again; the read "
                "model will be loaded anew"
            )
    plans = dict(zip(wanted, column_plans(relation.columns), strict=True))
    return TuplePlan(relation, tuple(plans.get(name) for name in streamed))
