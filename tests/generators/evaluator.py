"""What a plan means, worked out naively: Python loops over whole tables, nothing kept, no index.

A row is a dict of column to JSON text, as the stream has it. Slow, and right by its simplicity: the
oracle's SQL, and later the daemon, are compared with it.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from cdc_daemon.events import ColumnType
from cdc_daemon.projection.expressions import arithmetic
from cdc_daemon.values import canonical_key
from cdc_daemon.values.float_text import format_float8
from tests.generators.json_meaning import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cdc_daemon.projection.expressions import CompiledExpression
    from cdc_daemon.projection.joined.plan import Embed, Field, Level, OrderKey, Plan, Step

    Row = dict[str, bytes]
    Tables = Mapping[str, Sequence[Row]]

NULL = b"null"
EXACT = Context(prec=2000)


def documents(plan: Plan, tables: Tables) -> dict[str, Any]:
    """Every document by its id."""
    found = {}
    for row in tables[plan.root.relation.qualified_name]:
        whole = _readable(plan.root, row, tables)
        if _included(plan.root.where, plan.root, whole):
            columns = [row[column.name] for column in plan.root.relation.columns]
            found[json.loads(plan.id_of(list(columns)))] = _object(plan.root, whole, tables)
    return found


def _readable(level: Level, row: Row, tables: Tables) -> Row:
    """The row with what is borrowed from `one` embeds."""
    whole = dict(row)
    for embed in level.embeds:
        wanted = [each for each in level.borrowed if each.embed == embed.name]
        if wanted:
            rows = _rows(embed, row, tables)
            for each in wanted:
                whole[each.name] = rows[0][each.column] if rows else NULL
    return whole


def _included(where: CompiledExpression | None, level: Level, row: Row) -> bool:
    return where is None or where.test([row[column.name] for column in level.readable.columns])


def _object(level: Level, row: Row, tables: Tables) -> dict[str, Any]:
    shown = {field.name: _shown(field, _value(field, level, row)) for field in level.fields}
    for embed in level.embeds:
        if embed.shown:
            shown[embed.name] = _embedded(embed, row, tables)
    return shown


def _value(field: Field, level: Level, row: Row) -> bytes:
    if field.part.constant is not None:
        return field.part.constant
    values = [row[column.name] for column in level.readable.columns]
    if field.part.evaluate is not None:
        return field.part.evaluate(list(values))
    assert field.part.place is not None
    return values[field.part.place]


def _shown(field: Field, value: bytes) -> Any:
    default = field.part.default
    return parse(default if value == NULL and default is not None else value)


def _embedded(embed: Embed, row: Row, tables: Tables) -> Any:
    rows = _rows(embed, row, tables)
    if embed.kind == "one":
        assert len(rows) <= 1
        return _element(embed, rows[0], tables) if rows else None
    if embed.kind == "many":
        return [_element(embed, each, tables) for each in rows[: embed.limit]]
    if embed.kind in {"first", "last"}:
        return _element(embed, rows[0], tables) if rows else None
    if embed.value is None:
        return parse(str(len(rows)))
    values = [_value(embed.value, embed.level, each) for each in rows]
    values = [value for value in values if value != NULL]
    result = _aggregate(embed.kind, values, _argument(embed))
    return _shown(embed.value, result)


def _element(embed: Embed, row: Row, tables: Tables) -> Any:
    if embed.value is None:
        return _object(embed.level, row, tables)
    return _shown(embed.value, _value(embed.value, embed.level, row))


def _argument(embed: Embed) -> ColumnType:
    assert embed.value is not None
    assert embed.value.argument is not None
    return embed.value.argument


def _aggregate(kind: str, values: list[bytes], type_: ColumnType) -> bytes:
    if kind == "count":
        return str(len(values)).encode()
    if not values:
        return NULL
    if kind in {"min", "max"}:
        pick = min if kind == "min" else max  # both take the first of equals
        return pick(values, key=lambda value: _orderable(value, type_))
    if kind in {"bool_and", "bool_or"}:
        truths = [value == b"true" for value in values]
        return b"true" if (all if kind == "bool_and" else any)(truths) else b"false"
    return (_float if type_.base.name == "float8" else _exact)(kind, values)


def _float(kind: str, values: list[bytes]) -> bytes:
    total = 0.0
    for value in values:
        total += float(value)  # one after the other, as PostgreSQL does
    return format_float8(total / (len(values) if kind == "avg" else 1)).encode()


def _exact(kind: str, values: list[bytes]) -> bytes:
    total = Decimal(0)
    for value in values:
        total = EXACT.add(total, Decimal(value.decode()))
    result = arithmetic.divide(total, Decimal(len(values))) if kind == "avg" else total
    return f"{result:f}".encode()


def _rows(embed: Embed, row: Row, tables: Tables) -> list[Row]:
    """The rows that belong to `row`: for each path one, in order, without what is not distinct."""
    found = list(_reached(embed, row, tables))
    for key in reversed(embed.order):
        found = _sorted(found, key)
    return list(_distinct(embed, found)) if embed.distinct else found


def _reached(embed: Embed, row: Row, tables: Tables) -> Iterator[Row]:
    near = [row]
    for step in embed.steps:
        near = [
            far
            for one in near
            for far in tables[step.relation.qualified_name]
            if _belongs(step, far, one) and _links(step, far)
        ]
    for far in near:
        whole = _readable(embed.level, far, tables)
        if _included(embed.level.where, embed.level, whole):
            yield whole


def _belongs(step: Step, far: Row, near: Row) -> bool:
    """Whether the columns are equal; `text` and `varchar`, or numbers, have one canonical form."""
    types = {column.name: column.type for column in step.relation.columns}
    return all(
        NULL not in {far[one], near[other]}
        and canonical(far[one], types[one]) == canonical(near[other], types[one])
        for one, other in step.pairs
    )


def _links(step: Step, row: Row) -> bool:
    columns = step.relation.columns
    return step.where is None or step.where.test([row[column.name] for column in columns])


def _sorted(rows: list[Row], key: OrderKey) -> list[Row]:
    nulls = [row for row in rows if row[key.column] == NULL]
    others = sorted(
        (row for row in rows if row[key.column] != NULL),
        key=lambda row: _orderable(row[key.column], key.type),
        reverse=key.descending,
    )
    return nulls + others if key.nulls_first else others + nulls


def _distinct(embed: Embed, rows: list[Row]) -> Iterator[Row]:
    seen = set()
    for row in rows:
        if embed.value is None:
            same: Any = tuple(row[name] for name in embed.level.key)
        else:
            value = _value(embed.value, embed.level, row)
            same = canonical(value, _argument(embed))
        if same not in seen:
            seen.add(same)
            yield row


def canonical(value: bytes, type_: ColumnType) -> bytes:
    """What equal values have in common."""
    encode = canonical_key(type_)
    return value if encode is None or value == NULL else encode(value)


def _orderable(value: bytes, type_: ColumnType) -> Any:
    base = type_.base
    if base.kind == "enum":
        return base.labels.index(json.loads(value))
    return ORDERABLE[base.name](value)


def _blank_padded(value: bytes) -> bytes:
    text: str = json.loads(value)
    return text.rstrip(" ").encode()


def _interval(value: bytes) -> int:
    return int(canonical(value, ColumnType("interval")))


ORDERABLE: dict[str, Callable[[bytes], Any]] = {
    **dict.fromkeys(("int4", "int8", "numeric"), lambda value: Decimal(value.decode())),
    "float8": float,
    "bool": b"true".__eq__,
    "bpchar": _blank_padded,
    "date": lambda value: date.fromisoformat(json.loads(value)),
    "timestamptz": lambda value: datetime.fromisoformat(json.loads(value)),
    "interval": _interval,
    **dict.fromkeys(("text", "varchar", "uuid", "bytea"), lambda value: json.loads(value).encode()),
}
"""From the JSON of a value to what Python puts in the same order, by type."""
