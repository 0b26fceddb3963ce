"""Casts between types: which there are, and how they run."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.projection.expressions import arithmetic as a
from cdc_daemon.projection.expressions.times import read_interval
from cdc_daemon.projection.expressions.types import INTEGERS, STRINGS, name_of
from cdc_daemon.values.civil_time import (
    DAY,
    INFINITY,
    check_date,
    check_timestamp,
    format_date,
    format_interval,
    format_time,
    format_timestamp,
    parse_date,
    parse_time,
    parse_timestamp,
    parse_timestamptz,
    reject,
)
from cdc_daemon.values.float_text import format_float4, format_float8

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import ColumnType

_SPACE: Final = " \t\n\r\f\v"
_INTEGER: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{4}(?:-?[0-9a-f]{4}){7}", re.ASCII)
_TRUE: Final = frozenset({"t", "tr", "tru", "true", "y", "ye", "yes", "on", "1"})
_FALSE: Final = frozenset({"f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0"})
_LARGEST_EXPONENT: Final = 200_000


def _invalid(kind: str, text: str) -> Any:
    reject("invalid_text_representation", f"invalid input syntax for type {kind}: {text!r}")


def text_to_bool(text: str) -> bool:
    """Any beginning of true, false, yes, no; on, off, 1, 0."""
    word = text.strip(_SPACE).lower()
    return word in _TRUE or (word not in _FALSE and bool(_invalid("boolean", text)))


def _text_to_int(kind: str) -> Callable[[str], int]:
    fit = a.FIT[kind]

    def convert(text: str) -> int:
        digits = text.strip(_SPACE)
        if not _INTEGER.fullmatch(digits):
            _invalid(kind, text)
        return fit(int(digits)) if len(digits) < 4000 else fit(1 << 64)  # noqa: PLR2004  int() stops at 4,300

    return convert


def text_to_numeric(text: str) -> Decimal:
    """Every digit; the scale as written."""
    digits = text.strip(_SPACE)
    if not _NUMBER.fullmatch(digits):
        _invalid("numeric", text)
    value = Decimal(digits)
    exponent = int(value.as_tuple().exponent)
    if abs(exponent) > _LARGEST_EXPONENT:
        reject("numeric_value_out_of_range", "value overflows numeric format")
    if exponent > 0:
        value = value.quantize(Decimal(1), context=a.EXACT)
    return a.fit_numeric(value)


def text_to_float8(text: str) -> float:
    """A finite number; NaN and infinities are rejected because JSON has no number for them."""
    digits = text.strip(_SPACE)
    if not _NUMBER.fullmatch(digits):
        _invalid("double precision", text)
    value = float(digits)
    zero = not Decimal(digits)
    if math.isinf(value) or (value == 0 and not zero):
        reject("numeric_value_out_of_range", f"{text!r} is out of range for type double precision")
    return value


def text_to_float4(text: str) -> float:
    """A finite number of 32 bits."""
    return a.float4_of(text_to_float8(text))


def text_to_uuid(text: str) -> str:
    """Lower case with hyphens."""
    word = text.lower()
    word = word[1:-1] if word[:1] == "{" and word[-1:] == "}" else word
    if not _UUID.fullmatch(word):
        _invalid("uuid", text)
    h = word.replace("-", "")
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def text_to_bytea(text: str) -> bytes:
    r"""Hex format, `\x0102`."""
    if not re.fullmatch(r"\\x([0-9a-fA-F]{2})*", text):
        _invalid("bytea (hex format)", text)
    return bytes.fromhex(text[2:])


def _float_to_int(kind: str) -> Callable[[float], int]:
    fit = a.FIT[kind]
    return lambda value: fit(round(value)) if math.isfinite(value) else fit(1 << 64)


def _numeric_to_int(kind: str) -> Callable[[Decimal], int]:
    fit = a.FIT[kind]
    return lambda value: fit(int(a.round_half_up(value)))


def float8_to_numeric(value: float) -> Decimal:
    """15 significant digits, as PostgreSQL keeps."""
    return text_to_numeric(f"{value:.15g}")


def float4_to_numeric(value: float) -> Decimal:
    """6 significant digits, as PostgreSQL keeps."""
    return text_to_numeric(f"{value:.6g}")


def numeric_to_float8(value: Decimal) -> float:
    """The nearest float8."""
    return text_to_float8(str(value))


def numeric_to_float4(value: Decimal) -> float:
    """The nearest float4."""
    return a.float4_of(numeric_to_float8(value))


def numeric_to_text(value: Decimal) -> str:
    """Every digit of the scale."""
    return format(value, "f")


def bool_to_text(value: bool) -> str:  # noqa: FBT001  it is the value, not a switch
    """`true` or `false`."""
    return "true" if value else "false"


def bpchar_to_text(value: str) -> str:
    """Padding has no meaning in char(n)."""
    return value.rstrip(" ")


def timestamp_to_date(value: int) -> int:
    """The day it is in."""
    return value if abs(value) == INFINITY else value // DAY


def date_to_timestamp(days: int) -> int:
    """Midnight."""
    return days if abs(days) == INFINITY else check_timestamp(days * DAY)


def timestamptz_to_text(value: int) -> str:
    """In UTC."""
    return format_timestamp(value, " ", "" if abs(value) == INFINITY else "+00")


def jsonb_to_text(value: bytes) -> str:
    """As PostgreSQL prints it."""
    return value.decode()


def bytea_to_text(value: bytes) -> str:
    """Hex format."""
    return "\\x" + value.hex()


def same(value: Any) -> Any:
    """No change: only the type has another name."""
    return value


def rewritten(value: Any) -> Any:
    """The same for Python, but another type writes it differently."""
    return value


OUTPUT: Final[dict[str, Callable[[Any], str]]] = {
    **dict.fromkeys(INTEGERS, str),
    "numeric": numeric_to_text,
    "float4": format_float4,
    "float8": format_float8,
    "bool": bool_to_text,
    "text": same,
    "varchar": same,
    "bpchar": bpchar_to_text,
    "uuid": same,
    "name": same,
    "date": format_date,
    "time": format_time,
    "timestamp": format_timestamp,
    "timestamptz": timestamptz_to_text,
    "interval": format_interval,
    "jsonb": jsonb_to_text,
    "json": jsonb_to_text,
    "bytea": bytea_to_text,
}
"""To text."""

INPUT: Final[dict[str, Callable[[str], Any]]] = {
    **{kind: _text_to_int(kind) for kind in INTEGERS},
    "numeric": text_to_numeric,
    "float4": text_to_float4,
    "float8": text_to_float8,
    "bool": text_to_bool,
    "text": same,
    "varchar": same,
    "bpchar": same,
    "uuid": text_to_uuid,
    "date": lambda text: check_date(parse_date(text)),
    "time": parse_time,
    "timestamp": parse_timestamp,
    "timestamptz": parse_timestamptz,
    "interval": read_interval,
    "bytea": text_to_bytea,
}
"""From text."""


def _between_numbers() -> dict[tuple[str, str], Callable[[Any], Any]]:
    casts: dict[tuple[str, str], Callable[[Any], Any]] = {}
    for source in INTEGERS:
        casts |= {(source, target): a.FIT[target] for target in INTEGERS}
        casts |= {(source, "numeric"): Decimal, (source, "float8"): float}
        casts[source, "float4"] = lambda value: a.float4_of(float(value))
    for target in INTEGERS:
        casts |= {
            ("float4", target): _float_to_int(target),
            ("float8", target): _float_to_int(target),
        }
        casts["numeric", target] = _numeric_to_int(target)
    return casts


_CASTS: Final[dict[tuple[str, str], Callable[[Any], Any]]] = _between_numbers() | {
    ("numeric", "numeric"): same,
    ("numeric", "float8"): numeric_to_float8,
    ("numeric", "float4"): numeric_to_float4,
    ("float8", "numeric"): float8_to_numeric,
    ("float4", "numeric"): float4_to_numeric,
    ("float4", "float8"): rewritten,
    ("float8", "float4"): a.float4_of,
    ("int4", "bool"): bool,
    ("bool", "int4"): int,
    ("date", "timestamp"): date_to_timestamp,
    ("date", "timestamptz"): date_to_timestamp,
    ("timestamp", "date"): timestamp_to_date,
    ("timestamptz", "date"): timestamp_to_date,
    ("timestamp", "timestamptz"): rewritten,
    ("timestamptz", "timestamp"): rewritten,
}


def cast_function(source: ColumnType, target: ColumnType) -> Callable[[Any], Any] | None:
    """How an explicit cast runs, without its modifier.

    `same` where nothing changes; None if there is no such cast.
    """
    come, go = name_of(source), name_of(target)
    if come == go and source.base.kind == target.base.kind:
        return same
    if source.base.kind == "enum" or target.base.kind == "enum":
        return same if source.base.kind == "enum" and go in STRINGS else None
    if go in STRINGS:
        return OUTPUT.get(come)
    if come in STRINGS:
        parse = INPUT.get(go)
        return (lambda text: parse(text.rstrip(" "))) if parse and come == "bpchar" else parse
    return _CASTS.get((come, go))


def literal_function(target: ColumnType) -> Callable[[str], Any] | None:
    """How a string literal becomes a value of `target`."""
    base = target.base
    if base.kind == "enum":

        def label(text: str) -> str:
            return text if text in base.labels else _invalid(f"enum {base.name}", text)

        return label
    return INPUT.get(base.name)


def modifier_function(target: ColumnType) -> Callable[[Any], Any] | None:
    """What `numeric(p,s)`, `varchar(n)` or `char(n)` does to a value; None for no modifier."""
    name, modifier = name_of(target), target.base.modifier
    if modifier < 0:
        return None
    length = modifier - 4
    if name == "varchar":
        return lambda text: text[:length]
    if name == "bpchar":
        return lambda text: text[:length].ljust(length)
    if name == "numeric":
        scale = length & 0x7FF
        scale = scale - 0x800 if scale >= 0x400 else scale  # noqa: PLR2004  11 bits with a sign
        return lambda value: a.fit_precision(value, length >> 16, scale)
    return None
