"""Where the value of a field comes from, and what it means: another meaning is another document."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from cdc_daemon.ports import FieldSpec
from cdc_daemon.values import Form

if TYPE_CHECKING:
    from cdc_daemon.config.fields import FieldConfig
    from cdc_daemon.events import Column, ColumnType
    from cdc_daemon.projection.expressions import CompiledExpression

FORMAT: Final = 3
"""Part of every fingerprint: raised when documents of an unchanged mapping would come out anew."""


class Origin(NamedTuple):
    """Where a field's value comes from, checked."""

    name: str
    config: FieldConfig | None
    column: Column | None
    expression: CompiledExpression | None
    """Also of a column that isn't in the row: a generated one that isn't streamed."""
    result: ColumnType | None = None
    """The type that an aggregate makes of it."""

    @property
    def shown(self) -> Column | None:
        """The column of the row that the field shows."""
        return self.column if self.expression is None else None

    @property
    def missing(self) -> str | None:
        """The column that isn't there, so that the field is null."""
        config = self.config
        if config is None or self.column or config.has_constant or config.expression is not None:
            return None
        return config.column or self.name

    @property
    def reads(self) -> set[str]:
        """The columns of the row that it reads."""
        if self.expression is not None:
            return set(self.expression.columns)
        return {self.column.name} if self.column is not None else set()

    @property
    def computes(self) -> set[str]:
        """The generated columns that it computes: they are in no row."""
        return set() if self.expression is None else set(self.expression.computed)

    @property
    def spec(self) -> FieldSpec:
        """What a sink must know of the field."""
        overrides = dict(self.config.mapping) if self.config else {}
        default = self.config.default if self.config else None
        made = self.column if self.expression is None else self.expression
        if made is not None:
            return FieldSpec(self.name, self.result or made.type, overrides, default=default)
        constant = self.config.constant if self.config else None
        return FieldSpec(self.name, None, overrides, example=constant)

    @property
    def making(self) -> tuple[str, str]:
        """What the values of the column depend on: how it is protected, how it is generated."""
        if self.column is None:
            return "", ""
        protection, generated = self.column.protection, self.column.generated
        return (
            protection.digest if protection else "",
            generated.expression if generated else "",
        )

    def meaning(self, form: Form, policy: str | None) -> dict[str, object]:
        """Where it comes from, its form and what is said of it, however it is written."""
        config = self.config
        name = self.column.name if self.column else None
        said: list[tuple[str, bool, object]] = [
            ("column", self.column is not None or config is None, name),
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


def digest(said: object) -> str:
    """Of anything that is JSON."""
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def type_name(type: ColumnType) -> str:  # noqa: A002 - what it is
    """What documents and their index depend on of a type."""
    if type.name == "varchar":  # however long it may be
        return type.name
    return type.declared or type.name
