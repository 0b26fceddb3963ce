"""Which conversion each column needs, for the stream and for COPY."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdc_daemon.errors import RejectedError, SourceError
from cdc_daemon.values import unknown_types, watched_encoder
from connectors.postgres.pgoutput import PASS, TuplePlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Column, Relation
    from connectors.postgres.pgoutput import ColumnPlan, RelationMessage


def column_plans(columns: Sequence[Column]) -> tuple[ColumnPlan, ...]:
    """The plan of each column."""
    return tuple(
        column.protection.encode if column.protection else watched_encoder(column.type) or PASS
        for column in columns
    )


def unknown_columns(relations: Sequence[Relation]) -> Iterator[tuple[str, str, list[str]]]:
    """Table, column and types of each column whose text is not understood, only passed on."""
    for relation in relations:
        for column in relation.columns:
            if types := sorted(unknown_types(column.type)):
                yield relation.qualified_name, column.name, types


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
    _check_identity(message, relation)
    for column in message.columns:
        known = wanted.get(column.name)
        if known is not None and known.type.oid not in {0, column.type_oid}:
            was = known.protection.declared if known.protection else known.type.declared
            raise SourceError(
                f"column {column.name} of table {relation.qualified_name} has another type now "
                f"(it was {was}). Check the mapping and start again; the read "
                "model will be loaded anew"
            )
    plans = dict(zip(wanted, column_plans(relation.columns), strict=True))
    return TuplePlan(relation, tuple(plans.get(name) for name in streamed))


def _check_identity(message: RelationMessage, relation: Relation) -> None:
    """What is sent of old rows must still be what the mapping was checked against.

    For a partitioned table the partitions decide that, and the stream describes only the table.
    """
    if relation.kind == "partitioned":
        return
    streamed = {column.name for column in message.columns if column.in_key}
    lost = [column.name for column in relation.columns if column.in_identity]
    lost = [name for name in lost if name not in streamed]
    if lost or (relation.replica_identity == "full" and message.replica_identity != "f"):
        raise SourceError(
            f"the replica identity of table {relation.qualified_name} is another one now: old rows "
            f"come without {', '.join(lost) or 'their values'}. Check the mapping, and start "
            "again: everything is loaded anew"
        )


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turn the decoders' errors into a SourceError: going on would leave a row out."""
    try:
        yield
    except (RejectedError, ValueError) as error:
        raise SourceError(
            f"{what} can't be understood: {error}. If a type was altered (alter type), start "
            "again; if this comes again, it is a bug of cdc-daemon: please report it"
        ) from error
