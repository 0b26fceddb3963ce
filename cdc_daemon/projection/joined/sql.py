"""From a plan to one SQL statement that yields every document from the source: the oracle.

It depends on nothing but the plan's tree and PostgreSQL, and is what a projection means.
"""

from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.projection.expressions.renaming import with_columns
from cdc_daemon.projection.joined.keys import COLLATED
from cdc_daemon.projection.joined.plan import levels_of
from cdc_daemon.projection.joined.valuesql import (
    LINE,
    as_jsonb,
    as_written,
    document_id,
    identifier,
    literal,
)
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.events import ColumnType, Relation
    from cdc_daemon.projection.expressions import CompiledExpression
    from cdc_daemon.projection.joined.plan import Embed, Field, Level, OrderKey, Plan

    Columns = Callable[[str], str]

_PAIRS: Final = 50
"""A function takes 100 arguments."""


def documents_sql(plan: Plan, only: str | None = None) -> str:
    """The statement that gives (id, document) of all documents, or of the one with id `only`.

    To be run under `SESSION_SETTINGS`. Raises ConfigurationError where a column is protected: the
    source doesn't know what becomes of it.
    """
    _refuse_protected(plan)
    query = _Query()
    rows = query.rows(plan.root, query.alias(), [], [])
    own_id = document_id(_told_by_bytes(plan, rows.columns), plan.id_template)
    lines = [
        "select d.id, d.document from (",
        indent(f"select {own_id} as id,\n  {query.object(plan.root, rows)} as document", "  "),
        indent(rows.sql, "  "),
        ") d",
    ]
    if only is not None:
        lines.append(f"where d.id = {literal(only)}")
    return "\n".join(lines).replace(LINE, "\n")


def _told_by_bytes(plan: Plan, columns: Columns) -> list[str]:
    """The columns of the id: not every collation has `starts_with` and the like, nor has a mix."""
    types = {column.name: column for column in plan.root.readable.columns}
    return [
        f'({columns(name)} collate "C")'
        if not types[name].equal_by_text
        or (len(plan.id) > 1 and types[name].type.base.name in COLLATED)
        else columns(name)
        for name in plan.id
    ]


def _refuse_protected(plan: Plan) -> None:
    for level in levels_of(plan.root):
        for column in level.readable.columns:
            if column.protection is not None:
                raise ConfigurationError(
                    f"column {column.name} of {level.relation.qualified_name} is "
                    f"{column.protection.kind} before its values leave the source: no SQL there "
                    "can yield the documents"
                )


class _Rows(NamedTuple):
    """The rows of a level in a query."""

    columns: Columns
    """The SQL of a column of the level's `readable`."""
    objects: dict[str, str]
    """The SQL of what its `one` embeds show."""
    sql: str
    """`from ... where ...`."""


class _Query:
    """Writes one query; every table in it has an alias of its own."""

    def __init__(self) -> None:
        self._aliases = 0

    def alias(self) -> str:
        """A new one."""
        self._aliases += 1
        return f"t{self._aliases}"

    def rows(
        self, level: Level, alias: str, before: Sequence[str], conditions: Sequence[str]
    ) -> _Rows:
        """The rows of a level that fulfil `conditions`, joined to the tables `before`."""
        relation = level.relation
        names = {
            column.name: f"{alias}.{identifier(column.name)}"
            for column in (*relation.columns, *relation.computed)
        }
        objects = {}
        tables = [*before, f"{_table(relation)} {alias}"]
        for embed in level.embeds:
            if embed.kind == "one":
                one = self.alias()
                tables.append(self._one(level, embed, one, names.__getitem__))
                objects[embed.name] = f"{one}.shown"
                borrowed = [each for each in level.borrowed if each.embed == embed.name]
                names |= {each.name: f"{one}.c{at}" for at, each in enumerate(borrowed)}
        whole = list(conditions)
        if level.where is not None:
            whole.append(f"({_expression(level.where, level.readable, names.__getitem__)})")
        sql = "from " + "\n  ".join([tables[0], *(_joined(table) for table in tables[1:])])
        if whole:
            sql += "\nwhere " + "\n  and ".join(whole)
        return _Rows(names.__getitem__, objects, sql)

    def object(self, level: Level, rows: _Rows) -> str:
        """What an object of the level shows."""
        pairs = [(one.name, self._field(one, level, rows.columns)) for one in level.fields]
        pairs += [
            (one.name, rows.objects.get(one.name) or self._embed(one, rows.columns))
            for one in level.embeds
            if one.shown
        ]
        parts = [
            ",\n".join(f"{literal(name)}, {value}" for name, value in pairs[at : at + _PAIRS])
            for at in range(0, len(pairs), _PAIRS)
        ]
        built = (f"jsonb_build_object(\n{indent(part, '  ')}\n)" for part in parts)
        return " || ".join(built) or "'{}'::jsonb"

    def _field(self, field: Field, level: Level, columns: Columns) -> str:
        return _shown(field, _value(field, level, columns))

    def _one(self, level: Level, embed: Embed, alias: str, near: Columns) -> str:
        rows = self._reached(embed, near)
        shown = self._element(embed, rows) if embed.shown else "null"
        borrowed = (each.column for each in level.borrowed if each.embed == embed.name)
        listed = [f"{rows.columns(name)} as c{at}" for at, name in enumerate(borrowed)]
        inner = f"select {', '.join([f'{shown} as shown', *listed])}\n{rows.sql}"
        return f"left join lateral (\n{indent(inner, '    ')}\n  ) {alias} on true"

    def _reached(self, embed: Embed, near: Columns) -> _Rows:
        """The rows that belong to the row whose columns are `near`, one for each path."""
        tables, conditions = [], []
        for step in embed.steps:
            alias = self.alias()
            far = _columns_of(alias)
            conditions += [f"{far(name)} = {near(nearer)}" for name, nearer in step.pairs]
            if step.where is not None:
                conditions.append(f"({_expression(step.where, step.relation, far)})")
            tables.append(f"{_table(step.relation)} {alias}")
            near = far
        if not (embed.distinct and embed.value is None and len(tables) > 1):
            return self.rows(embed.level, alias, tables[:-1], conditions)
        links = f"select from {', '.join(tables[:-1])}\n  where " + "\n    and ".join(conditions)
        return self.rows(embed.level, alias, [], [f"exists (\n{indent(links, '    ')}\n  )"])

    def _element(self, embed: Embed, rows: _Rows) -> str:
        """What one row gives."""
        if embed.value is None:
            return self.object(embed.level, rows)
        return _shown(embed.value, _value(embed.value, embed.level, rows.columns))

    def _embed(self, embed: Embed, near: Columns) -> str:
        rows = self._reached(embed, near)
        if embed.kind == "many":
            query = self._many(embed, rows)
        elif embed.kind in {"first", "last"}:
            order = _order(embed.order, rows.columns)
            query = f"select {self._element(embed, rows)}\n{rows.sql}\norder by {order}\nlimit 1"
        else:
            query = f"select {self._aggregate(embed, rows)}\n{rows.sql}"
        return f"(\n{indent(query, '  ')}\n)"

    def _many(self, embed: Embed, rows: _Rows) -> str:
        place = f"row_number() over (order by {_order(embed.order, rows.columns)}) as place"
        inner = f"select {self._element(embed, rows)} as element, {place}"
        if embed.distinct and embed.value is not None:
            value = _value(embed.value, embed.level, rows.columns)
            inner = f"{inner}, {value} as value\n{rows.sql}"
            told_apart = f"value{_collation(embed.value.argument)}"
            inner = f"{_from(f'select distinct on ({told_apart}) element, place', inner)} v"
            inner += f"\norder by {told_apart}, place"
        else:
            inner = f"{inner}\n{rows.sql}"
        if embed.limit is not None:
            inner = f"{_from('select *', inner)} l\norder by place\nlimit {embed.limit}"
        collected = "select coalesce(jsonb_agg(element order by place), '[]')"
        return f"{_from(collected, inner)} e"

    def _aggregate(self, embed: Embed, rows: _Rows) -> str:
        field = embed.value
        if field is None:
            return "to_jsonb(count(*))"
        value = _value(field, embed.level, rows.columns)
        order = _order(embed.order, rows.columns)
        if embed.kind == "count":
            told_apart = f"distinct {value}{_collation(field.argument)}"
            found = f"count({told_apart if embed.distinct else value})"
        elif embed.kind in {"min", "max"}:
            direction = "desc" if embed.kind == "max" else "asc"
            order = f"{value}{_collation(field.argument)} {direction}, {order}"
            found = f"(array_agg({value} order by {order}) filter (where {value} is not null))[1]"
        else:
            found = f"{embed.kind}({value}{' order by ' + order if order else ''})"
        return _shown(field, found)


def _from(select: str, inner: str) -> str:
    return f"{select} from (\n{indent(inner, '  ')}\n)"


def _joined(table: str) -> str:
    return table if table.startswith("left join") else f"cross join {table}"


def _table(relation: Relation) -> str:
    return f"{identifier(relation.schema)}.{identifier(relation.name)}"


def _columns_of(alias: str) -> Columns:
    return lambda name: f"{alias}.{identifier(name)}"


def _expression(expression: CompiledExpression, readable: Relation, columns: Columns) -> str:
    return as_written(with_columns(expression.sql, readable, columns))


def _value(field: Field, level: Level, columns: Columns) -> str:
    """Before it has its form; a constant is jsonb already."""
    if field.expression is not None:
        sql = _expression(field.expression, level.readable, columns)
        return f"cast({sql} as {field.expression.type.declared})"
    if field.column is not None:
        return columns(field.column.name)
    return f"{literal((field.part.constant or NULL).decode())}::jsonb"


def _shown(field: Field, value: str) -> str:
    """In the form of the field, with its default."""
    if field.spec.type is None:
        return value
    shown = as_jsonb(value, field.spec.type, field.form)
    if field.part.default is None:
        return shown
    return f"coalesce({shown}, {literal(field.part.default.decode())}::jsonb)"


def _order(keys: Sequence[OrderKey], columns: Columns) -> str:
    return ", ".join(_ordered_by(keys, columns))


def _ordered_by(keys: Sequence[OrderKey], columns: Columns) -> Iterator[str]:
    for key in keys:
        direction = "desc" if key.descending else "asc"
        nulls = "first" if key.nulls_first else "last"
        yield f"{columns(key.column)}{_collation(key.type)} {direction} nulls {nulls}"


def _collation(type: ColumnType | None) -> str:  # noqa: A002 - what it is
    return ' collate "C"' if type is not None and type.base.name in COLLATED else ""
