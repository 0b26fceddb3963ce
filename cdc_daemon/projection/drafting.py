"""Check the fields and conditions of a mapping against the columns that they may read."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import orjson

from cdc_daemon.config.mistakes import dotted
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import FieldSpec
from cdc_daemon.projection.document import Part
from cdc_daemon.projection.expressions import (
    CompiledExpression,
    ExpressionError,
    compile_expression,
    excluded_column,
)
from cdc_daemon.projection.showing import Showing, of_computed, policy_of
from cdc_daemon.values import Form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cdc_daemon.config.fields import FieldConfig
    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.config.models import ProjectionConfig
    from cdc_daemon.events import Column, ColumnType, Relation


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


class Origin(NamedTuple):
    """Where a field's value comes from, checked."""

    name: str
    config: FieldConfig | None
    column: Column | None
    expression: CompiledExpression | None
    result: ColumnType | None = None
    """The type that an aggregate makes of it."""

    @property
    def reads(self) -> set[str]:
        """The columns that it reads."""
        if self.column is not None:
            return {self.column.name}
        return set(self.expression.columns) if self.expression is not None else set()

    @property
    def spec(self) -> FieldSpec:
        """What the sink is told of the field."""
        overrides = dict(self.config.mapping) if self.config else {}
        if self.expression is not None:
            return FieldSpec(self.name, self.result or self.expression.type, overrides)
        if self.column is not None:
            return FieldSpec(self.name, self.result or self.column.type, overrides)
        constant = self.config.constant if self.config else None
        return FieldSpec(self.name, None, overrides, example=constant)


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be read at one place of a mapping."""

    table: Relation
    readable: Relation
    """The table with what expressions may read beside its own columns."""
    mistakes: Mistakes

    def column(self, path: Path, name: str) -> Column | None:
        """The column of that name; None where there is none, which is noted."""
        for column in self.table.columns:
            if column.name == name:
                return column
        if name in self.table.excluded:
            self.mistakes.add(path, excluded_column(self.table, name))
            return None
        close = difflib.get_close_matches(name, [column.name for column in self.table.columns], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        self.mistakes.add(path, f"table {self.table.qualified_name} has no column {name}{hint}")
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
        return Origin(name, config, self.column(path, config.column or name), None)

    def origins(self, path: Path, fields: Mapping[str, FieldConfig] | None) -> Iterator[Origin]:
        """Where each field comes from; `fields` None is every column that is streamed."""
        if fields is None:
            for column in self.table.columns:
                if not column.generated:
                    yield Origin(column.name, None, column, None)
            return
        for name, config in fields.items():
            yield self.origin((*path, name), name, config)


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
                self.forms[origin.name] = self._showing.form(origin.spec, origin.config)
            except ConfigurationError as error:
                self.forms[origin.name] = Form.VALUE
                mistakes.add((*path, origin.name), str(error))

    @property
    def reads(self) -> set[str]:
        """Every column that the fields read."""
        return {name for origin in self.origins for name in origin.reads}

    def meaning(self, origin: Origin) -> dict[str, object]:
        """Where a field comes from, its form and what is said of it, however it is written."""
        config = origin.config
        form = self.forms[origin.name]
        policy = policy_of(self._config, config)
        column = origin.column.name if origin.column else None
        said: list[tuple[str, bool, object]] = [
            ("column", origin.column is not None or config is None, column),
            ("form", form is not Form.VALUE, form.value),
            ("unrepresentable", policy is not None, policy),
        ]
        if config is not None:
            said += [
                ("expression", config.expression is not None, config.expression),
                ("constant", config.has_constant, config.constant),
                ("default", config.has_default, config.default),
                ("mapping", bool(config.mapping), config.mapping),
            ]
        return {name: value for name, is_said, value in said if is_said}

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
        return Part(origin.name, constant=orjson.dumps(config.constant if config else None))


def digest(said: dict[str, object]) -> str:
    """The fingerprint of all that is said of a projection."""
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


def type_name(type: ColumnType) -> str:  # noqa: A002 - what it is
    """The type as SQL writes it."""
    return type.declared or type.name
