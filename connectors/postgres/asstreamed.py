"""Tables as the stream describes them, whatever they are by now: for who relays every column.

Nothing is compiled for their columns, so a row of before a table was altered is as good as one of
after: its columns are those of its time, by their names and types then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import SourceError
from cdc_daemon.events import Column
from connectors.postgres.catalog import column_orders, primary_key
from connectors.postgres.catalog_types import load_types
from connectors.postgres.rowplan import column_plans
from connectors.postgres.session import mapped_errors
from connectors.postgres.tupleplan import TuplePlan, misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.events import ColumnType, Relation, ReplicaIdentity
    from connectors.postgres.protection import Protector
    from connectors.postgres.session import Connection
    from connectors.postgres.tupleplan import RelationMessage, StreamColumn

_IDENTITIES: Final[dict[str, ReplicaIdentity]] = {
    "d": "default",
    "f": "full",
    "i": "index",
    "n": "nothing",
}
_BY_PRIMARY_KEY: Final = "d"
_DECLARED: Final = "select pg_catalog.format_type(%s, %s)"


def as_streamed(
    connection: Connection,
    message: RelationMessage,
    known: Relation,
    protector: Protector,
    require_visible: Callable[[], None],
) -> TuplePlan:
    """The plan of a table with the columns of the message; `known` is what the table is by now.

    A misfit where a type of its time is gone: `require_visible` raises where it may be to come.
    """
    columns: list[Column] | str = _columns_or_why_not(connection, message, known)
    if isinstance(columns, str):
        require_visible()
        columns = _columns_or_why_not(connection, message, known)  # it may be so only just now
    if isinstance(columns, str):
        return misfit(known, len(message.columns), f"the type of a column is gone ({columns})")
    rest = [column.name for column in columns if not _is_known(column, known)]
    relation = replace(
        known,
        columns=tuple(column for column in columns if column.name in rest),
        order=column_orders(connection, [message.oid]).get(message.oid, ()),
    )
    (ruled,) = protector.protect([relation])
    kept = {column.name: column for column in (*known.columns, *ruled.columns)}
    streamed = [kept.get(column.name) for column in message.columns]
    seen = tuple(
        replace(column, in_identity=said.in_key)
        for column, said in zip(streamed, message.columns, strict=True)
        if column is not None and said.name not in known.excluded
    )
    plans = dict(zip((column.name for column in seen), column_plans(seen), strict=True))
    relation = replace(
        relation,
        columns=seen,
        known=frozenset(column.name for column in message.columns),
        primary_key=_key(known, message, primary_key(connection, message.oid)),
        replica_identity=_identity(message, known),
    )
    return TuplePlan(relation, tuple(plans.get(column.name) for column in message.columns))


def _is_known(column: Column, known: Relation) -> bool:
    """Whether it is in the catalog as it is in the message."""
    return any(
        other.name == column.name and other.type.oid in {0, column.type.oid}
        for other in known.columns
    )


def _columns_or_why_not(
    connection: Connection, message: RelationMessage, known: Relation
) -> list[Column] | str:
    try:
        return _columns(connection, message, known)
    except SourceError as error:
        return str(error)


def _columns(connection: Connection, message: RelationMessage, known: Relation) -> list[Column]:
    types = load_types(connection, {column.type_oid for column in message.columns})
    return [_column(connection, each, types, known) for each in message.columns]


def _column(
    connection: Connection,
    streamed: StreamColumn,
    types: Mapping[int, ColumnType],
    known: Relation,
) -> Column:
    with mapped_errors("read the catalog"):
        found = connection.execute(_DECLARED, [streamed.type_oid, streamed.modifier]).fetchone()
    type_ = replace(
        types[streamed.type_oid],
        oid=streamed.type_oid,
        modifier=streamed.modifier,
        declared="" if found is None else str(found[0]),
    )
    nullable = not any(
        column.name == streamed.name and not column.nullable for column in known.columns
    )
    return Column(streamed.name, type_, nullable=nullable, in_identity=streamed.in_key)


def _key(known: Relation, message: RelationMessage, now: tuple[str, ...]) -> tuple[str, ...]:
    """The primary key of the message's time, which may be another one `now`.

    Old rows come by it, and so the message says it; in what order, only the catalog does.
    """
    streamed = tuple(column.name for column in message.columns if column.in_key)
    if message.replica_identity != _BY_PRIMARY_KEY or known.kind == "partitioned":
        columns = {column.name for column in message.columns}
        return known.primary_key if columns.issuperset(known.primary_key) else streamed
    ordered = (key for key in (known.primary_key, now) if {*key} == {*streamed})
    return next(ordered, streamed)


def _identity(message: RelationMessage, known: Relation) -> ReplicaIdentity:
    """Of a partitioned table its partitions decide that, which the message isn't about."""
    if known.kind == "partitioned":
        return known.replica_identity
    return _IDENTITIES.get(message.replica_identity, known.replica_identity)
