"""The canonical form of a key: two values are equal to PostgreSQL exactly when theirs are.

Limits: citext folds letters one by one, as most locales do, not as every collation does; equality
under a nondeterministic collation can't be known here, so no rows are found by such columns.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import orjson

from cdc_daemon.errors import ConfigurationError
from cdc_daemon.values.scalars import NULL, Encoder

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType

_FRACTION_IN_JSONB: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+\.\d+')
_FRACTION: Final = re.compile(rb"\d+\.\d+")
_FIELD: Final = re.compile(r"(-?\d+(?:\.\d+)?)([YMDHS])")
_MICROSECONDS: Final = {"H": 3_600_000_000, "S": 1_000_000}
_DAY: Final = 24 * _MICROSECONDS["H"]
_DATE_FIELDS: Final = {"Y": 360 * _DAY, "M": 30 * _DAY, "D": _DAY}
_TIME_FIELDS: Final = {"H": _MICROSECONDS["H"], "M": 60_000_000, "S": _MICROSECONDS["S"]}

_UNSUITABLE: Final = frozenset(
    {
        *("json", "xml", "hstore", "int2vector", "oidvector"),
        *("vector", "halfvec", "sparsevec"),
        *("point", "line", "lseg", "box", "path", "polygon", "circle", "tsquery"),
    }
)


def canonical_key(type: ColumnType) -> Encoder | None:  # noqa: A002 - the name of the API
    """From the JSON of a key value to its canonical form, which is JSON too.

    None where the JSON is canonical already. Raises ConfigurationError for types without an
    equality that can be had from their JSON.
    """
    base = type.base
    if base.kind in {"range", "multirange"}:
        return _range(base)
    if base.kind == "enum":
        return None
    if base.kind != "base" or base.name in _UNSUITABLE:
        msg = f"a column of type {type.declared or type.name} can't be a key: its values have no "
        raise ConfigurationError(msg + "equality that can be told from their text.")
    return _CANONICAL.get(base.name)


def _range(base: ColumnType) -> Encoder | None:
    spanned = base.element
    while spanned is not None and spanned.base.kind in {"range", "multirange"}:
        spanned = spanned.base.element
    if spanned is not None and spanned.base.kind == "base":
        if spanned.base.name == "numeric":
            return _numbers_in_text
        if spanned.base.name not in _CANONICAL and spanned.base.name not in _UNSUITABLE:
            return None
    msg = f"a column of type {base.declared or base.name} can't be a key: what it spans has no "
    raise ConfigurationError(msg + "equality that can be told from its text.")


def _without_zeros(number: bytes) -> bytes:
    """1.50 = 1.5, 1.0 = 1, and there is no numeric -0."""
    return number.rstrip(b"0").rstrip(b".")


def _numeric(value: bytes) -> bytes:
    return _without_zeros(value) if b"." in value else value


def _float(value: bytes) -> bytes:
    """The shortest exact text is one for each value, but for the two zeros."""
    return b"0" if value == b"-0" else value


def _numbers_in_text(value: bytes) -> bytes:
    return _FRACTION.sub(lambda match: _without_zeros(match[0]), value)


def _jsonb(value: bytes) -> bytes:
    """Numbers within jsonb are numeric; the rest of its text is canonical as it is."""
    return _FRACTION_IN_JSONB.sub(
        lambda match: match[0] if match[0][:1] == b'"' else _without_zeros(match[0]), value
    )


def _blank_padded(value: bytes) -> bytes:
    return value if value == NULL else value[:-1].rstrip(b" ") + b'"'


def _case_insensitive(value: bytes) -> bytes:
    """Letter by letter: the final sigma of a word isn't special to `lower()` there."""
    if value.isascii():
        return value.lower()
    plain: str = orjson.loads(value)
    return orjson.dumps("".join(low if len(low := c.lower()) == 1 else c for c in plain))


def _interval(value: bytes) -> bytes:
    """Its length in microseconds: to PostgreSQL a month is 30 days, and a day is 24 hours."""
    date, _, time = value.decode().strip('"').partition("T")
    if "infinity" in date or value == NULL:
        return value
    fields = [(n, _DATE_FIELDS[unit]) for n, unit in _FIELD.findall(date)]
    fields += [(n, _TIME_FIELDS[unit]) for n, unit in _FIELD.findall(time)]
    return b"%d" % sum(int(Decimal(n) * unit) for n, unit in fields)


_CANONICAL: Final[dict[str, Encoder]] = {
    "numeric": _numeric,
    "float4": _float,
    "float8": _float,
    "bpchar": _blank_padded,
    "citext": _case_insensitive,
    "interval": _interval,
    "jsonb": _jsonb,
}
