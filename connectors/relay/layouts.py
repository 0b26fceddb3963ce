"""How rows of the log become rows of a relation, as far as what both say of the table fits. Pure.

The relay knew the table as it was when a row was written, or had stopped; we know it as it was when
the mappings were compiled. A column is told by its place in the table, which it keeps: a name may
have been another column's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from connectors.relay.decoding import RowPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Column, Relation
    from connectors.relay.log import Layout, LogColumn


def row_plan(layout: Layout, relation: Relation, order: Sequence[str]) -> RowPlan:
    """The columns of `relation`, out of such rows. `order`: as `Relation.order`, as of now.

    A misfit where the table had, or has by now, another shape than `relation`.
    """
    why = layout.misfit or next(_reasons(layout, relation, order), None)
    if why is not None:
        stand_in = replace(relation, columns=(), stands_for=relation, misfit=why)
        return RowPlan(stand_in, ())
    places = {column.name: at for at, column in enumerate(layout.columns)}
    there = [places[column.name] for column in relation.columns if column.name in places]
    return RowPlan(relation, tuple(there), len(relation.columns) - len(there))


def _reasons(layout: Layout, relation: Relation, order: Sequence[str]) -> Iterator[str]:
    logged = {column.name: column for column in layout.columns}
    unknown = (logged.keys() | {*layout.order}) - relation.known - {""}
    if not relation.is_open:
        unknown &= relation.missing
    if unknown:
        yield f"the log has its column {', '.join(sorted(unknown))}"
    lacking = False
    for column in relation.columns:
        if _place(order, column.name) != _place(relation.order, column.name):
            yield f"its column {column.name} may be another one of that name by now"
        found = logged.get(column.name)
        if found is None:
            lacking = True
            yield from _lacking_reasons(layout, relation, column)
        elif lacking:
            yield f"the log has its column {column.name} before others that it lacks"
        else:
            yield from _column_reasons(layout, relation, column, found)
    yield from _identity_reasons(layout, relation, logged)


def _lacking_reasons(layout: Layout, relation: Relation, column: Column) -> Iterator[str]:
    """A column that was added later is null in rows from before."""
    came_later = _place(relation.order, column.name) >= len(layout.order) > 0
    if not (came_later and column.plain):
        yield f"the log has no column {column.name}"


def _column_reasons(
    layout: Layout, relation: Relation, column: Column, found: LogColumn
) -> Iterator[str]:
    if _place(layout.order, column.name) != _place(relation.order, column.name):
        yield f"in the log its column {column.name} may be another one of that name"
    protection = column.protection.digest if column.protection else ""
    if found.protection != protection:
        yield f"in the log its column {column.name} is protected in another way"
    elif not protection and {found.type, column.type.oid} != {column.type.oid}:
        yield f"in the log its column {column.name} is {found.declared}"


def _identity_reasons(
    layout: Layout, relation: Relation, logged: dict[str, LogColumn]
) -> Iterator[str]:
    """What is there of old rows must be what the mapping was checked against.

    For a partitioned table the partitions decide that.
    """
    if relation.kind == "partitioned":
        return
    lost = [
        column.name
        for column in relation.columns
        if column.in_identity and column.name in logged and not logged[column.name].in_identity
    ]
    full = relation.replica_identity == "full" and layout.replica_identity != "full"
    if lost or full:
        yield f"in the log old rows come without {', '.join(lost) or 'their values'}"


def _place(order: Sequence[str], name: str) -> int:
    """Where the column is in its table; -1 where it isn't (generated columns have no place)."""
    return list(order).index(name) if name in order else -1
