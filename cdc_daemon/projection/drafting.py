"""Check the fields and conditions of a mapping against the columns that they may read."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from cdc_daemon.config.mistakes import dotted
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.projection.document import Part
from cdc_daemon.projection.expressions import (
    CompiledExpression,
    ExpressionError,
    compile_expression,
    excluded_column,
)
from cdc_daemon.projection.origin import Origin
from cdc_daemon.projection.showing import Showing, of_computed, policy_of
from cdc_daemon.values import Form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cdc_daemon.config.fields import FieldConfig
    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.config.projections import ProjectionConfig
    from cdc_daemon.events import Column, Relation


class Mistakes:
    """Collects what is wrong, each with its place in the file."""

    def __init__(self, locate: Callable[..., str]) -> None:
        self._locate = locate
        self.lines: list[str] = []

    def add(self, path: Path, message: str) -> None:
        """Note one mistake, once: an embed that repeats itself would repeat it, too."""
        line = f"{self._locate(*path)}: {dotted(path)}: {message}"
        if line not in self.lines:
            self.lines.append(line)

    def raise_if_any(self) -> None:
        """Raise ConfigurationError with all of them."""
        if self.lines:
            raise ConfigurationError("\n".join(self.lines))


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be read at one place of a mapping."""

    table: Relation
    readable: Relation
    """The table with what expressions may read beside its own columns."""
    mistakes: Mistakes
    may_miss: bool = False
    """Whether fields may name columns that aren't there."""

    def column(self, path: Path, name: str) -> Column | None:
        """The column of that name; None where there is none, which is noted."""
        columns = (*self.table.columns, *self.table.computed)
        for column in columns:
            if column.name == name:
                return column
        if name in self.table.excluded:
            self.mistakes.add(path, excluded_column(self.table, name))
            return None
        close = difflib.get_close_matches(name, [column.name for column in columns], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        self.mistakes.add(path, f"table {self.table.qualified_name} has no column {name}{hint}")
        return None

    def row_column(self, path: Path, name: str) -> Column | None:
        """The column of that name; None where rows don't have it, which is noted."""
        column = self.column(path, name)
        if column is None or column not in self.table.computed:
            return column
        self.mistakes.add(
            path,
            f"column {name} of table {self.table.qualified_name} is generated, and the source does "
            "not stream it: take another column (PostgreSQL 18 streams those that are stored)",
        )
        return None

    def expression(
        self, path: Path, sql: str, compile_it: Callable[[str, Relation], CompiledExpression]
    ) -> CompiledExpression | None:
        """What `sql` compiles to; None where it doesn't, which is noted."""
        try:
            return compile_it(sql, self.readable)
        except ExpressionError as error:
            self.mistakes.add(path, f"{error} (in: {sql})")
            return None

    def origin(self, path: Path, name: str, config: FieldConfig) -> Origin:
        """Where the field `name` comes from."""
        if config.has_constant:
            return Origin(name, config, None, None)
        if config.expression is not None:
            place = (*path, "expression")
            expression = self.expression(place, config.expression, compile_expression)
            return Origin(name, config, None, expression)
        column = self._shown(path, config.column or name)
        return Origin(name, config, column, self._computed(path, column))

    def origins(self, path: Path, fields: Mapping[str, FieldConfig] | None) -> Iterator[Origin]:
        """Where each field comes from; `fields` None is every column."""
        if fields is None:
            for column in (*self.table.columns, *self.table.computed):
                yield Origin(column.name, None, column, self._computed(path, column))
            return
        for name, config in fields.items():
            yield self.origin((*path, name), name, config)

    def _shown(self, path: Path, name: str) -> Column | None:
        """The column that a field shows, None where it may be missing."""
        there = {*self.table.known, *self.table.excluded}
        return None if self.may_miss and name not in there else self.column(path, name)

    def _computed(self, path: Path, column: Column | None) -> CompiledExpression | None:
        """What stands in for a column that isn't in the row."""
        if column is None or column not in self.table.computed:
            return None
        quoted = '"{}"'.format(column.name.replace('"', '""'))
        return self.expression(path, quoted, compile_expression)


class FieldsDraft:
    """The fields of one object, each with the form of its values."""

    def __init__(
        self,
        origins: Iterable[Origin],
        config: ProjectionConfig,
        showing: Showing,
        *,
        projection: str,
        within: str = "",
    ) -> None:
        self.origins = tuple(origins)
        self._config = config
        self._showing = showing
        self._projection = projection
        self._within = within
        self.forms: dict[str, Form] = {}

    def check_forms(self, path: Path, mistakes: Mistakes) -> None:
        """Choose the form of each field; note those that have none."""
        for origin in self.origins:
            try:
                self.forms[origin.name] = self._showing.form(
                    origin.spec, origin.config, self._projection
                )
            except ConfigurationError as error:
                self.forms[origin.name] = Form.VALUE
                mistakes.add((*path, origin.name), str(error))

    @property
    def reads(self) -> set[str]:
        """Every column that the fields read."""
        return {name for origin in self.origins for name in origin.reads}

    @property
    def computes(self) -> set[str]:
        """Every generated column that the fields compute."""
        return {name for origin in self.origins for name in origin.computes}

    def meaning(self, origin: Origin) -> dict[str, object]:
        """Where a field comes from, its form and what is said of it, however it is written."""
        return origin.meaning(self.forms[origin.name], policy_of(self._config, origin.config))

    def part(self, origin: Origin, relation: Relation) -> Part:
        """How the field's value is made of a row of `relation`, which has the columns read."""
        config = origin.config
        default = (
            orjson.dumps(config.default) if config is not None and config.has_default else None
        )
        spec = replace(origin.spec, name=f"{self._within}{origin.name}")
        policy = policy_of(self._config, config)
        conversion = self._showing.conversion(
            spec, self.forms[origin.name], policy, self._projection
        )
        if origin.expression is not None:
            compiled = compile_expression(origin.expression.sql, relation)
            computed = of_computed(conversion, compiled.type)
            return Part(
                origin.name, evaluate=compiled.evaluate, default=default, conversion=computed
            )
        if origin.column is not None:
            place = relation.index_of(origin.column.name)
            return Part(origin.name, place=place, default=default, conversion=conversion)
        if origin.missing is not None:
            return Part(origin.name, constant=default or orjson.dumps(None))
        return Part(origin.name, constant=orjson.dumps(config.constant if config else None))
