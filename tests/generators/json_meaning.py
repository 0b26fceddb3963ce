"""JSON with the digits of its numbers, for comparing what two encoders mean."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType

NUMBERS = frozenset({"numeric", "float4", "float8"})
VECTORS = frozenset({"vector", "halfvec"})
NOT_IN_JSON = frozenset({"NaN", "Infinity", "-Infinity"})


class Number:
    """A number as it was written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        """Whether all digits are equal; those of an exponent or of -0 are spelt out by jsonb."""
        if not isinstance(other, Number):
            return False
        spelt = any(n.text.startswith("-0") or "e" in n.text.lower() for n in (self, other))
        return Decimal(self.text) == Decimal(other.text) if spelt else self.text == other.text

    def __hash__(self) -> int:
        return hash(Decimal(self.text))

    def __repr__(self) -> str:
        return self.text


def parse(text: bytes | str) -> Any:
    """Parse strict JSON; of duplicate keys the last one stays, as in jsonb."""
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def as_documented(type_: ColumnType, value: Any, *, exact: bool = False) -> Any:
    """What `to_jsonb` gave, but arrays for vectors, and (unless `exact`) null for NaN and
    infinities, all of which it makes strings.
    """  # noqa: D205 - one sentence
    base = type_.base
    if base.kind == "array" and base.element is not None and isinstance(value, list):
        return _elements(base.element, value, exact=exact)
    if base.kind == "composite" and isinstance(value, dict):
        return {name: as_documented(one, value[name], exact=exact) for name, one in base.attributes}
    if not exact and base.kind == "base" and base.name in NUMBERS and value in NOT_IN_JSON:
        return None
    if base.kind == "base" and base.name in VECTORS:
        return None if value is None else parse(value)
    return value


def _elements(element: ColumnType, values: list[Any], *, exact: bool) -> list[Any]:
    """Nested lists are further dimensions, or arrays within domains: all the same here."""
    while element.base.kind == "array" and element.base.element is not None:
        element = element.base.element
    return [
        _elements(element, value, exact=exact)
        if isinstance(value, list)
        else as_documented(element, value, exact=exact)
        for value in values
    ]
