"""What aggregates make of values, as PostgreSQL does it: digit by digit. Pure."""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import ColumnType, Special
from cdc_daemon.projection.expressions import arithmetic
from cdc_daemon.state import key_encoder
from cdc_daemon.values import SpecialValueError, watched_encoder
from cdc_daemon.values.float_text import format_float4, format_float8
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.config.embeds import Kind

    Values = Sequence[bytes]
    """JSON texts, none of them NULL."""

FLOATS: Final = frozenset({"float4", "float8"})
_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})


_ENCODERS: Final = {
    name: watched_encoder(ColumnType(name)) or bytes for name in ("numeric", "float4", "float8")
}


def result_of(kind: Kind, type_: ColumnType) -> Callable[[Values], bytes]:
    """From the values in the order of the plan to the JSON text of the result."""
    if kind == "count":
        return lambda values: b"%d" % len(values)
    if kind in {"min", "max"}:
        pick, place = (min if kind == "min" else max), key_encoder(type_)
        return lambda values: pick(values, key=place) if values else NULL  # the first of equals
    if kind in {"bool_and", "bool_or"}:
        every = all if kind == "bool_and" else any
        return lambda values: truth(every(v == b"true" for v in values)) if values else NULL
    if type_.base.name in FLOATS:
        return _of_floats(kind, type_.base.name)
    return lambda values: _of_numbers(kind, values) if values else NULL


def truth(value: bool) -> bytes:  # noqa: FBT001 - it is the value, not a switch
    """As JSON."""
    return b"true" if value else b"false"


def sum_of(units: int, scale: int) -> bytes:
    """So many units of the last of `scale` digits after the point."""
    text = f"{abs(units):0{scale + 1}d}"
    whole, fraction = (text[:-scale], "." + text[-scale:]) if scale else (text, "")
    return _as_json("numeric", f"{'-' if units < 0 else ''}{whole}{fraction}")


def average_of(units: int, scale: int, count: int) -> bytes:
    """The same divided by `count`."""
    quotient = arithmetic.divide(Decimal(f"{units}e-{scale}"), Decimal(count))
    return _as_json("numeric", f"{quotient:f}")


def _of_numbers(kind: Kind, values: Values) -> bytes:
    texts = [_exactly(value) for value in values]
    odd = sorted(_NOT_FINITE.intersection(texts))
    if odd:
        return _as_json("numeric", odd[0] if len(odd) == 1 else "NaN")
    total = reduce(arithmetic.add, map(Decimal, texts))
    result = arithmetic.divide(total, Decimal(len(texts))) if kind == "avg" else total
    return _as_json("numeric", f"{result:f}")


def _of_floats(kind: Kind, name: str) -> Callable[[Values], bytes]:
    """One after the other, as PostgreSQL does: averages of both kinds as double precision."""
    add = arithmetic.float4_add if (kind, name) == ("sum", "float4") else arithmetic.float_add
    narrow = arithmetic.float4_of if name == "float4" else float
    show = format_float4 if (kind, name) == ("sum", "float4") else format_float8
    result_type = "float4" if (kind, name) == ("sum", "float4") else "float8"

    def result(values: Values) -> bytes:
        if not values:
            return NULL
        total = reduce(add, [narrow(float(_exactly(value))) for value in values])
        return _as_json(result_type, show(total / len(values) if kind == "avg" else total))

    return result


def _exactly(value: bytes) -> str:
    """The number, or its name where JSON has none for it."""
    return (value.exact if isinstance(value, Special) else value).decode().strip('"')


def _as_json(name: str, text: str) -> bytes:
    try:
        return _ENCODERS[name](text.encode())
    except SpecialValueError as special:
        return special.value
