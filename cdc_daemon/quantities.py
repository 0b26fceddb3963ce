"""Durations and sizes as people write them in a configuration: `200ms`, `64MB`."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

DURATION_PATTERN: Final = r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)?$"
SIZE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)? ?([kKMGT]i?)?B?$"

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    prefix + middle: base**power
    for power, prefix in enumerate(("", "k", "m", "g", "t"))
    for middle, base in (("", 1000), ("i", 1024))
    if prefix or not middle
}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|m|h|d)?")
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?((?:[kKMGT]i?)?)B?")

_EXPECTED_DURATION: Final = "expected a duration such as 200ms, 1s or 5m"
_EXPECTED_SIZE: Final = "expected a size such as 512kB, 64MB or 1GiB"


def seconds(value: object) -> float:
    """The seconds in `200ms`, `1s`, `5m`, `2h`, `1d` or a number (of seconds).

    Raises ValueError for anything else, negative and endless durations included.
    """
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        value = float(match[1]) * _SECONDS[match[2] or "s"]
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else -1
    if 0 <= number <= sys.float_info.max:
        return float(number)
    raise ValueError(_EXPECTED_DURATION)


def byte_count(value: object) -> int:
    """The bytes in `512kB`, `64MB` (powers of 1000), `1GiB` (powers of 1024) or a number.

    Raises ValueError for anything else, and for less than one byte.
    """
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        value = int(Decimal(match[1]) * _BYTES[match[2].lower()])
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= sys.maxsize:
        return value
    raise ValueError(_EXPECTED_SIZE)


def duration_text(value: float) -> str:
    """The shortest way to write a number of seconds: `200ms`, `60s` as `1m`."""
    for unit in ("d", "h", "m", "s"):
        count = value / _SECONDS[unit]
        if value and count == int(count):
            return f"{int(count)}{unit}"
    return f"{value * 1000:.6f}".rstrip("0").rstrip(".") + "ms" if value else "0"


def size_text(value: int) -> str:
    """The shortest exact way to write a number of bytes: `64MB`, `1GiB`, `1234B`."""
    units = sorted(_BYTES.items(), key=lambda unit: -unit[1])
    prefix, factor = next(unit for unit in units if value % unit[1] == 0)
    written = prefix if prefix == "k" else prefix[:1].upper() + prefix[1:]
    return f"{value // factor}{written}B"


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    PlainSerializer(duration_text, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": DURATION_PATTERN},
            ]
        }
    ),
]
"""Seconds as a float; written `200ms`, `1s`, `5m`, `2h`, `1d`, `0` or as a number of seconds."""

ByteSize = Annotated[
    int,
    BeforeValidator(byte_count),
    PlainSerializer(size_text, return_type=str, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": SIZE_PATTERN}]}
    ),
]
"""Bytes; written `512kB`, `64MB`, `1GiB` or as a number of bytes."""
