"""Ranges and multiranges to objects of bounds: `"[1,5)"` to `{"gte":1,"lt":5}`."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Final

import orjson

from cdc_daemon.values.encoding import json_encoder
from cdc_daemon.values.scalars import DATES, NULL, NUMBERS, Encoder
from cdc_daemon.values.special import iso_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import ColumnType

SPANNED: Final = NUMBERS | DATES | {"int2", "int4", "int8"}
"""Base types whose ranges have such a form."""

_BOUND: Final = rb'(?:"((?:[^"\\]|\\.|"")*)"|([^,\[\]()"]*))'
_RANGE: Final = re.compile(rb"([\[(])%b,%b([\])])" % (_BOUND, _BOUND), re.DOTALL)
_INFINITIES: Final = frozenset({"infinity", "-infinity", "Infinity", "-Infinity"})
_ESCAPED_OR_DOUBLED: Final = re.compile(rb'[\\"](.)', re.DOTALL)


def spanned(type: ColumnType) -> ColumnType | None:  # noqa: A002 - the name of the API
    """What a range or multirange spans; None for other types."""
    base = type.base
    while base.kind in {"range", "multirange"} and base.element is not None:
        base = base.element.base
        if base.kind not in {"range", "multirange"}:
            return base
    return None


def range_encoder(type: ColumnType, refuse: Callable[[str], bytes]) -> Encoder:  # noqa: A002 - the name of the API
    """From the JSON of a range to an object, of a multirange to an array of objects.

    The empty range holds nothing, as null finds nothing.
    """
    bound = _bound_encoder(type)

    def one(found: re.Match[bytes]) -> bytes:
        opened, lower_quoted, lower, upper_quoted, upper, closed = found.groups()
        try:
            low = bound(_unquoted(lower_quoted, lower), "-")
            high = bound(_unquoted(upper_quoted, upper), "")
        except UnfitBoundError:
            return refuse("a bound is NaN, an infinity on the wrong side, or more than a double")
        parts = []
        if low is not None:
            parts.append(b'"%b":%b' % (b"gte" if opened == b"[" else b"gt", low))
        if high is not None:
            parts.append(b'"%b":%b' % (b"lte" if closed == b"]" else b"lt", high))
        return b"{%b}" % b",".join(parts)

    def convert_range(value: bytes) -> bytes:
        found = _RANGE.fullmatch(orjson.loads(value).encode())
        return NULL if found is None else one(found)

    def convert_multirange(value: bytes) -> bytes:
        return b"[%b]" % b",".join(map(one, _RANGE.finditer(orjson.loads(value).encode())))

    return convert_multirange if type.base.kind == "multirange" else convert_range


class UnfitBoundError(ValueError):
    """A bound that no range of numbers or dates can have."""


def _unquoted(quoted: bytes | None, bare: bytes | None) -> bytes:
    if quoted is None:
        return bare or b""
    return _ESCAPED_OR_DOUBLED.sub(rb"\1", quoted)


def _bound_encoder(type: ColumnType) -> Callable[[bytes, str], bytes | None]:  # noqa: A002 - the name of the API
    """What gives the JSON of a bound; None where the range has no end on that side."""
    over = spanned(type)
    encode = (json_encoder(over, exact=True) if over is not None else None) or bytes
    is_date = over is not None and over.name in DATES

    def bound(raw: bytes, sign: str) -> bytes | None:
        written = raw.decode()
        if not raw or (written in _INFINITIES and written.lower() == f"{sign}infinity"):
            return None
        if written in _INFINITIES:
            raise UnfitBoundError
        if is_date:
            return iso_date(encode(raw))
        if not isfinite(float(raw)):
            raise UnfitBoundError
        return encode(raw)

    return bound
