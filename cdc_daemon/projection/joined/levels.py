"""Levels and embeds of a plan: checked against whole tables, compiled once these are narrowed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import FieldSpec
from cdc_daemon.projection.drafting import FieldsDraft, Scope
from cdc_daemon.projection.expressions import compile_condition, compile_expression
from cdc_daemon.projection.joined.aggregates import COUNT, result_type
from cdc_daemon.projection.joined.keys import is_unique, key_of
from cdc_daemon.projection.joined.ordering import order_keys, reversed_order
from cdc_daemon.projection.joined.plan import Borrowed, Embed, Field, Level, OrderKey
from cdc_daemon.projection.joined.ways import WayDraft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cdc_daemon.config.embeds import EmbedConfig
    from cdc_daemon.config.fields import FieldConfig
    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.events import ColumnType, Relation
    from cdc_daemon.projection.drafting import Mistakes
    from cdc_daemon.projection.joined.context import Context
    from cdc_daemon.projection.origin import Origin

_IN_ORDER: Final = frozenset({"many", "first", "last", "min", "max"})
"""Kinds that depend on the order of rows: equal values may be written differently (1.0, 1.00)."""

_ROUNDED: Final = frozenset({"float4", "float8"})
"""Types whose sums depend on it, too."""


class LevelConfig(Protocol):
    """What a projection and an embed say of the rows of one table."""

    @property
    def where(self) -> str | None:
        """Which rows count."""

    @property
    def named_fields(self) -> Mapping[str, FieldConfig] | None:
        """What is shown of them; None for all columns."""

    @property
    def embed(self) -> Mapping[str, EmbedConfig]:
        """What is shown of other tables' rows."""


class LevelDraft:
    """The rows of one table in one role."""

    scope: Scope

    def __init__(
        self,
        context: Context,
        path: Path,
        table: Relation,
        config: LevelConfig,
        within: str = "",
        repeated: str | None = None,
    ) -> None:
        self.table = table
        self._is_open = config.named_fields is None
        self.embeds = [
            # What repeats itself is written once.
            EmbedDraft(
                context,
                path if name == repeated else (*path, "embed", name),
                name,
                one,
                table,
                within,
            )
            for name, one in config.embed.items()
            if context.has_room(path)
        ]
        # "a.b" may be the name of one.
        own = {column.name for column in (*table.columns, *table.computed)}
        self._lenders = {
            name: (one, column)
            for one in self.embeds
            if one.config.kind == "one"
            for column in one.level.scope.readable.columns
            if (name := Borrowed(one.name, column.name).name) not in own
        }
        lent = [replace(column, name=name) for name, (_, column) in self._lenders.items()]
        readable = replace(table, columns=(*table.columns, *lent))
        self.scope = Scope(table, readable, context.mistakes, context.may_miss)
        origins = self.scope.origins((*path, "fields"), config.named_fields)
        self.fields = FieldsDraft(
            origins, context.config, context.showing, projection=context.projection, within=within
        )
        self.fields.check_forms((*path, "fields"), context.mistakes)
        self._where = None
        if config.where is not None:
            place = (*path, "where")
            self._where = self.scope.expression(place, config.where, compile_condition)
        self._used = self.fields.reads | self.fields.computes
        if self._where is not None:
            self.use((*self._where.columns, *self._where.computed))
        self._check_names(path, context.mistakes)

    def use(self, columns: Iterable[str]) -> None:
        """These columns are read or computed, too."""
        self._used.update(columns)

    def settle(self, lent: Iterable[str]) -> None:
        """All who read from here have said so: pass on what is borrowed."""
        self.use(lent)
        self.use(key_of(self.table))
        self.use(name for one in self.embeds for name in one.way.near_columns)
        borrowed: dict[str, list[str]] = {}
        for name in self._used & self._lenders.keys():
            one, column = self._lenders[name]
            borrowed.setdefault(one.name, []).append(column.name)
        for one in self.embeds:
            one.settle(borrowed.get(one.name, ()))

    @property
    def reads(self) -> Iterator[tuple[Relation, str]]:
        """Every column that is read or computed here and below."""
        yield from ((self.table, name) for name in self._used - self._lenders.keys())
        for one in self.embeds:
            yield from one.reads

    @property
    def opens(self) -> Iterator[Relation]:
        """The tables of which every column is shown here or below, those to come included."""
        if self._is_open:
            yield self.table
        for one in self.embeds:
            yield from one.level.opens

    @property
    def specs(self) -> tuple[FieldSpec, ...]:
        """What the sink is told of the object."""
        own = [origin.spec for origin in self.fields.origins]
        return (*own, *(one.spec for one in self.embeds if one.config.is_shown))

    def meaning(self) -> dict[str, object]:
        """All that the documents depend on, however it is written."""
        return {
            "table": self.table.qualified_name,
            "fields": {one.name: self.fields.meaning(one) for one in self.fields.origins},
            "where": self._where.sql if self._where else None,
            "embed": {one.name: one.meaning() for one in self.embeds},
        }

    def compile(self, narrowed: Mapping[Relation, Relation]) -> Level:
        """The level over the tables with the columns that are read."""
        relation = narrowed[self.table]
        borrowed = [
            (Borrowed(one.name, column.name), replace(column, name=name))
            for name, (one, column) in self._lenders.items()
            if name in self._used
        ]
        readable = replace(
            relation, columns=(*relation.columns, *(column for _, column in borrowed))
        )
        return Level(
            relation=relation,
            key=key_of(self.table),
            readable=readable,
            borrowed=tuple(each for each, _ in borrowed),
            where=compile_condition(self._where.sql, readable) if self._where else None,
            fields=compiled_fields(self.fields, readable),
            embeds=tuple(one.compile(narrowed) for one in self.embeds),
        )

    def _check_names(self, path: Path, mistakes: Mistakes) -> None:
        """`fields: "*"` is known only now."""
        names = {origin.name for origin in self.fields.origins}
        for one in self.embeds:
            if one.config.is_shown and one.name in names:
                mistakes.add(
                    (*path, "embed", one.name),
                    f'"{one.name}" is both a field and an embed: rename one, or list the fields',
                )


class EmbedDraft:
    """Rows of another table that belong to a row, and what is made of them."""

    def __init__(
        self,
        context: Context,
        path: Path,
        name: str,
        config: EmbedConfig,
        near: Relation,
        within: str,
    ) -> None:
        self.name = name
        self.config = config
        self._context = context
        self._path = path
        self._lends = False
        table = context.tables[config.table]
        context.check_key((*path, config.kind), table)
        self.way = WayDraft(context, path, config, near)
        inner = self._repeated(near, table) if config.depth > 1 else config
        repeated = None if inner is config else name
        self.level = LevelDraft(context, path, table, inner, f"{within}{name}.", repeated)
        self.value = self._value_draft(within)
        self._order = self._check_order()
        self._check_one()

    def _repeated(self, near: Relation, table: Relation) -> EmbedConfig:
        """The embed within itself, once less deep."""
        place = (*self._path, "depth")
        if table is not near:
            self._context.mistakes.add(
                place,
                f"an embed repeats itself where a table refers to itself, but this one leads from "
                f"{near.qualified_name} to {table.qualified_name}: put it into an embed of "
                f"{table.qualified_name}",
            )
            return self.config
        if self.name in self.config.embed:
            self._context.mistakes.add(place, f"{self.name} is embedded in itself already")
            return self.config
        once_less = self.config.model_copy(update={"depth": self.config.depth - 1})
        embeds = {**self.config.embed, self.name: once_less}
        return self.config.model_copy(update={"embed": embeds})

    def _value_draft(self, within: str) -> FieldsDraft | None:
        """The one field that is no object's."""
        config = self.config.value
        if config is None:
            return None
        path = (*self._path, "value")
        origin = self.level.scope.origin(path, self.name, config)
        context = self._context
        self.level.use(origin.reads | origin.computes)
        draft = FieldsDraft(
            [self._typed(path, origin)],
            context.config,
            context.showing,
            projection=context.projection,
            within=within,
        )
        draft.check_forms(self._path, context.mistakes)
        return draft

    def _typed(self, path: Path, origin: Origin) -> Origin:
        """With the type of the result, for the field to be shown by."""
        argument = origin.spec.type
        if argument is None:
            return origin
        self._check_told_apart(path, argument, origin.reads | origin.computes)
        try:
            result = result_type(self.config.kind, argument, distinct=self.config.distinct)
        except ConfigurationError as error:
            self._context.mistakes.add(path, str(error))
            return origin
        return origin._replace(result=result)

    def _check_told_apart(self, path: Path, argument: ColumnType, read: set[str]) -> None:
        """Of texts their bytes are compared, as COLLATE says in SQL; of ranges it can't be said."""
        if not self.config.distinct or argument.base.kind not in {"range", "multirange"}:
            return
        table = self.level.table
        for column in (*table.columns, *table.computed):
            if column.name in read and not column.equal_by_text:
                self._context.mistakes.add(
                    path,
                    f"distinct needs values that can be told apart: {column.name} has text under "
                    "a nondeterministic collation, and which of that are equal is not known here",
                )

    def _check_order(self) -> list[OrderKey]:
        config = self.config
        result = self.spec.type
        is_rounded = config.kind in {"sum", "avg"} and result and result.base.name in _ROUNDED
        if config.kind not in _IN_ORDER and not is_rounded:
            return []
        path = (*self._path, "order_by" if config.order_by else config.kind)
        keys = order_keys(path, config.order_by, key_of(self.level.table), self.level.scope)
        self.level.use(one.column for one in keys)
        return reversed_order(keys) if config.kind == "last" else keys

    def _check_one(self) -> None:
        if self.config.kind != "one":
            return
        for table, columns in self.way.far_columns:
            if not is_unique(table, columns):
                names = ", ".join(columns)
                self._context.mistakes.add(
                    (*self._path, "one"),
                    f"several rows of {table.qualified_name} may have the same {names}: take many "
                    "or first; or, if they can't, say so to the database: create unique index on "
                    f"{table.qualified_name} ({names})",
                )

    def settle(self, lent: Iterable[str]) -> None:
        """These columns are borrowed from it."""
        lent = list(lent)
        if not (self.config.is_shown or lent or self._context.mistakes.lines):
            self._context.mistakes.add(
                self._path,
                "it shows nothing, and no expression reads it: give it `fields`, or take it out",
            )
        self.level.use(self.way.own_columns)
        self.level.settle(lent)

    @property
    def reads(self) -> Iterator[tuple[Relation, str]]:
        """Every column that is read or computed here and below."""
        yield from self.way.reads
        yield from self.level.reads

    @property
    def spec(self) -> FieldSpec:
        """What the sink is told of it."""
        if self.value is not None:
            return replace(self.value.origins[0].spec, several=self.config.kind == "many")
        if self.config.kind == "count":
            return FieldSpec(self.name, COUNT)
        return FieldSpec(self.name, None, children=self.level.specs, nested=self.config.nested)

    def meaning(self) -> dict[str, object]:
        """All that the documents depend on, however it is written."""
        config = self.config
        return {
            "kind": config.kind,
            "way": self.way.meaning(),
            "rows": self.level.meaning(),
            "value": self.value.meaning(self.value.origins[0]) if self.value else None,
            "order": [[one.column, one.descending, one.nulls_first] for one in self._order],
            "limit": config.limit,
            "distinct": config.distinct,
            "nested": config.nested,
            "shown": config.is_shown,
        }

    def compile(self, narrowed: Mapping[Relation, Relation]) -> Embed:
        """The embed over the tables with the columns that are read."""
        level = self.level.compile(narrowed)
        config = self.config
        value = compiled_fields(self.value, level.readable)[0] if self.value else None
        return Embed(
            name=self.name,
            kind=config.kind,
            steps=self.way.compile(narrowed),
            level=level,
            spec=self.spec,
            value=value,
            order=tuple(self._order),
            limit=config.limit,
            distinct=config.distinct,
            shown=config.is_shown,
        )


def compiled_fields(draft: FieldsDraft, readable: Relation) -> tuple[Field, ...]:
    """The fields over rows of `readable`."""
    return tuple(
        Field(
            origin.spec,
            draft.forms[origin.name],
            draft.part(origin, readable),
            origin.column,
            compile_expression(origin.expression.sql, readable) if origin.expression else None,
        )
        for origin in draft.origins
    )
