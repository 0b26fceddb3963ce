"""Special values: what PostgreSQL's numbers and dates can be, and those of others can't.

They are rare, so they are noticed while a value is encoded anyhow, and cost only their own row:
the encoder raises, and the row is read once more, with `Special` in their places.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import Special
from cdc_daemon.values.encoding import json_encoder
from cdc_daemon.values.scalars import (
    DATES,
    NINE,
    NUMBERS,
    Encoder,
    exact_number,
    number,
    timestamptz,
)

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType

LONG_NUMBER: Final = 300
"""Digits and more: a double ends at 309, and nobody else writes so many."""

LONGEST_YEAR: Final = 4
"""Digits of a year that ISO 8601 writes without a sign."""

_DASH: Final = ord("-")
_CAPITAL_C: Final = ord("C")
_PLAIN_DATE: Final = len("2026-05-01")
_BEFORE_CHRIST: Final = b' BC"'
_SUSPECT: Final = re.compile(rb"nfinity|NaN| BC|\d{5}-|[\d.]{%d}" % LONG_NUMBER)
"""In a container: what may be a special value, or a text that looks like one."""


class SpecialValueError(RejectedError):
    """The value is special: it must be looked at by each field that shows it."""

    reason = "special_value"
    explanation = "a value is special (NaN, infinity, a far date)"

    def __init__(self, value: Special) -> None:
        self.value = value


def special(json: bytes, exact: bytes) -> Special:
    """The value whose JSON text is `json`, and exactly `exact`."""
    value = Special(json)
    value.exact = exact
    return value


def watched_encoder(type: ColumnType) -> Encoder | None:  # noqa: A002 - the name of the API
    """As `json_encoder`, but raises SpecialValueError for a special value."""
    encode = json_encoder(type)
    base = type.base
    if encode is not None and base.kind == "base":
        return _SCALARS.get(base.name, encode)
    if encode is not None and has_special(base):
        return _watched_container(encode, json_encoder(type, exact=True) or encode)
    return encode


def has_special(type: ColumnType) -> bool:  # noqa: A002 - the name of the API
    """Whether a value of `type` may be special, or hold one that is."""
    base = type.base
    if base.kind == "array" and base.element is not None:
        return has_special(base.element)
    if base.kind == "composite":
        return any(has_special(attribute) for _, attribute in base.attributes)
    return base.kind == "base" and (base.name in NUMBERS or base.name in DATES)


def _watched_container(encode: Encoder, exact: Encoder) -> Encoder:
    def watch(raw: bytes) -> bytes:
        if _SUSPECT.search(raw):
            raise SpecialValueError(special(encode(raw), exact(raw)))
        return encode(raw)

    return watch


def _float(raw: bytes) -> bytes:
    if raw[-1] <= NINE:
        return raw
    raise SpecialValueError(special(number(raw), exact_number(raw)))


def _numeric(raw: bytes) -> bytes:
    if raw[-1] <= NINE and len(raw) < LONG_NUMBER:
        return raw
    raise SpecialValueError(special(number(raw), exact_number(raw)))


def _date(raw: bytes) -> bytes:
    quoted = b'"%b"' % raw
    if len(raw) == _PLAIN_DATE:
        return quoted
    raise SpecialValueError(special(quoted, quoted))


def _timestamp(raw: bytes) -> bytes:
    quoted = b'"%b"' % raw.replace(b" ", b"T", 1)
    if raw[LONGEST_YEAR] == _DASH and raw[-1] != _CAPITAL_C:
        return quoted
    raise SpecialValueError(special(quoted, quoted))


def _timestamptz(raw: bytes) -> bytes:
    """In UTC, as the session has it: only years BC don't end in the zone."""
    if raw[-3:] == b"+00" and raw[LONGEST_YEAR] == _DASH:
        return b'"%b:00"' % raw.replace(b" ", b"T", 1)
    quoted = timestamptz(raw)
    raise SpecialValueError(special(quoted, quoted))


def iso_date(value: bytes) -> bytes:
    """`"0044-03-15 BC"` to `"-0043-03-15"`, `"12024-01-01"` to `"+12024-01-01"`."""
    if value.endswith(_BEFORE_CHRIST):
        year, dash, rest = value[1 : -len(_BEFORE_CHRIST)].partition(b"-")
        before = int(year) - 1
        return b'"%b%04d%b%b"' % (b"-" if before else b"", before, dash, rest)
    return b'"+' + value[1:] if value.index(b"-") > LONGEST_YEAR + 1 else value


_SCALARS: Final[dict[str, Encoder]] = {
    "float4": _float,
    "float8": _float,
    "numeric": _numeric,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
}
