"""The statements that read rows: those of a chunk, by a condition, or by their keys. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Chunk, Relation


def lock_chunk(chunk: Chunk) -> sql.Composed:
    """Nothing drops, alters or rewrites its table until the transaction ends."""
    return sql.SQL("lock table only {} in access share mode").format(sql.SQL(chunk.table))


def check_condition(relation: Relation, where: str) -> sql.Composed:
    """No row is read by it; what a condition may name is what it may name in `copy_chunk`."""
    table = sql.Identifier(relation.schema, relation.name).as_string()
    return sql.SQL("select from {} where {} limit 0").format(
        _only(table, relation), _condition(where)
    )


def look_at_columns(relation: Relation, table: str) -> sql.Composed:
    """What is copied of the table is there, and stays until the transaction ends."""
    return sql.SQL("select {} from {} limit 0").format(
        _columns_and_place(relation), _only(table, relation)
    )


def look_at_keys(types: Sequence[str], keys: Sequence[tuple[str, ...]]) -> sql.Composed:
    """The values of keys are of these types."""
    return sql.SQL("select from unnest({}) limit 0").format(_values(types, keys))


def _only(table: str, relation: Relation) -> sql.Composed:
    """A partition goes by the name of its table: conditions may use that."""
    return sql.SQL("only {} as {}").format(sql.SQL(table), sql.Identifier(relation.name))


def _columns_and_place(relation: Relation) -> sql.Composed:
    names = (sql.Identifier(column.name) for column in relation.columns)
    return sql.SQL(", ").join([*names, sql.SQL("ctid")])


def _condition(where: str) -> sql.Composed:
    return sql.SQL("(\n{}\n)").format(sql.SQL(where))


def copy_chunk(relation: Relation, chunk: Chunk, where: str) -> sql.Composed:
    """The columns of `relation` and, last, the place of each row."""
    bounds = [sql.SQL("ctid >= {}").format(_place(chunk.first))]
    if chunk.end is not None:
        bounds.append(sql.SQL("ctid < {}").format(_place(chunk.end)))
    if where:
        bounds.append(_condition(where))
    return sql.SQL("copy (select {} from {} where {}{}) to stdout").format(
        _columns_and_place(relation),
        _only(chunk.table, relation),
        sql.SQL(" and ").join(bounds),
        # An index that fits the condition would give the rows in its own order.
        sql.SQL(" order by ctid" if where else ""),
    )


def lock_table(relation: Relation) -> sql.Composed:
    """A partitioned table with its partitions; of another one not those that inherit."""
    only = sql.SQL("" if relation.kind == "partitioned" else "only ")
    name = sql.Identifier(relation.schema, relation.name)
    return sql.SQL("lock table {}{} in access share mode").format(only, name)


def copy_keys(
    relation: Relation,
    columns: Sequence[str],
    types: Sequence[str],
    keys: Sequence[tuple[str, ...]],
    where: str,
) -> sql.Composed:
    """The rows whose `columns` have these values, and last, as in a chunk, the place of each.

    `types` are those of the columns, as the server calls them now.
    """
    names = [sql.Identifier(name) for name in columns]
    return sql.SQL(
        "copy (select {} from {}{} where ({}) in (select * from unnest({})){}) to stdout"
    ).format(
        _columns_and_place(relation),
        sql.SQL("" if relation.kind == "partitioned" else "only "),
        sql.Identifier(relation.schema, relation.name),
        sql.SQL(", ").join(names),
        _values(types, keys),
        sql.SQL(" and {}").format(_condition(where)) if where else sql.SQL(""),
    )


def _values(types: Sequence[str], keys: Sequence[tuple[str, ...]]) -> sql.Composed:
    """Of each column of the keys one array."""
    return sql.SQL(", ").join(
        sql.SQL("{}::{}[]").format(sql.Literal(_array(some)), sql.SQL(type_))
        for some, type_ in zip(zip(*keys, strict=True), types, strict=True)
    )


def _array(values: Sequence[str]) -> str:
    """For the input function of each value: casts from text don't take all that types show."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{{{}}}".format(",".join(f'"{value}"' for value in escaped))


def _place(place: tuple[int, int]) -> sql.Composed:
    return sql.SQL("{}::tid").format(sql.Literal("({},{})".format(*place)))
