"""Which types aggregates take, and what they result in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.projection.expressions.types import shown, simple
from cdc_daemon.projection.joined.keys import has_equality, is_ordered

if TYPE_CHECKING:
    from cdc_daemon.config.embeds import Kind
    from cdc_daemon.events import ColumnType

COUNT: Final = simple("int8")
SUMS: Final = {
    "int2": "int8",
    "int4": "int8",
    "int8": "numeric",
    "numeric": "numeric",
    "float4": "float4",
    "float8": "float8",
}
AVERAGES: Final = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric"), "numeric"),
    **dict.fromkeys(("float4", "float8"), "float8"),
}


def result_type(kind: Kind, argument: ColumnType, *, distinct: bool) -> ColumnType:
    """The type of an aggregate's value, or of each value. Raises ConfigurationError."""
    base = argument.base
    if distinct and (why := has_equality(argument)):
        raise ConfigurationError(f"distinct needs values that can be told apart: {why}")
    if kind in {"sum", "avg"}:
        results = SUMS if kind == "sum" else AVERAGES
        if base.kind != "base" or base.name not in results:
            raise ConfigurationError(f"{kind} needs numbers, not {shown(argument)}")
        return simple(results[base.name])
    if kind in {"bool_and", "bool_or"} and (base.kind, base.name) != ("base", "bool"):
        raise ConfigurationError(f"{kind} needs a boolean, not {shown(argument)}")
    if kind in {"min", "max"} and not is_ordered(argument):
        raise ConfigurationError(
            f"{kind} needs values in an order; that of {shown(argument)} is not known here"
        )
    return COUNT if kind == "count" else argument
