"""Functions of dates, times and intervals; timestamps with time zone are seen in UTC."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.projection.expressions.arithmetic import EXACT, fit_int4
from cdc_daemon.values.civil_time import (
    DAY,
    INFINITY,
    Interval,
    check_date,
    check_timestamp,
    civil_from_days,
    days_from_civil,
    month_length,
    parse_interval,
    reject,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND: Final = 1_000_000
HOUR: Final = 3600 * SECOND
_SATURDAY: Final = 6
"""2000-01-01 was one."""

_UNITS: Final = {
    "microseconds": 1,
    "milliseconds": 1000,
    "second": SECOND,
    "minute": 60 * SECOND,
    "hour": HOUR,
    "day": DAY,
}
_ALIASES: Final = {
    "microsecond": "microseconds",
    "us": "microseconds",
    "millisecond": "milliseconds",
    "ms": "milliseconds",
    "seconds": "second",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "minutes": "minute",
    "m": "minute",
    "min": "minute",
    "mins": "minute",
    "hours": "hour",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "days": "day",
    "d": "day",
    "months": "month",
    "mon": "month",
    "mons": "month",
    "years": "year",
    "y": "year",
    "yr": "year",
    "yrs": "year",
    "weeks": "week",
    "w": "week",
    "decades": "decade",
    "centuries": "century",
    "c": "century",
    "millennia": "millennium",
    "quarters": "quarter",
}


def unit(name: str) -> str:
    """The full name of a field of a date or time."""
    folded = name.lower()
    return _ALIASES.get(folded, folded)


def _unsupported(name: str) -> Any:
    reject("feature_not_supported", f"unit {name!r} is not supported here")


# --- fields


def _century(year: int, length: int) -> int:
    return (year + length - 1) // length if year > 0 else -((length - 1 - (year - 1)) // length)


def iso_week(days: int) -> tuple[int, int]:
    """Year (0 is 1 BC) and week of ISO 8601."""
    thursday = days - (days + _SATURDAY - 1) % 7 + 3
    year = civil_from_days(thursday)[0]
    return year, (thursday - days_from_civil(year, 1, 1)) // 7 + 1


def _before_christ(year: int) -> int:
    return year if year > 0 else year - 1


_DAY_FIELDS: Final[dict[str, Callable[[int], int]]] = {
    "year": lambda d: _before_christ(civil_from_days(d)[0]),
    "month": lambda d: civil_from_days(d)[1],
    "day": lambda d: civil_from_days(d)[2],
    "quarter": lambda d: (civil_from_days(d)[1] + 2) // 3,
    "decade": lambda d: civil_from_days(d)[0] // 10,
    "century": lambda d: _century(civil_from_days(d)[0], 100),
    "millennium": lambda d: _century(civil_from_days(d)[0], 1000),
    "week": lambda d: iso_week(d)[1],
    "isoyear": lambda d: _before_christ(iso_week(d)[0]),
    "dow": lambda d: (d + _SATURDAY) % 7,
    "isodow": lambda d: (d + _SATURDAY - 1) % 7 + 1,
    "doy": lambda d: d - days_from_civil(civil_from_days(d)[0], 1, 1) + 1,
}
_TIME_FIELDS: Final[dict[str, Callable[[int], Decimal]]] = {
    "hour": lambda us: Decimal(us // HOUR),
    "minute": lambda us: Decimal(us // (60 * SECOND) % 60),
    "second": lambda us: scaled(us % (60 * SECOND), 6),
    "milliseconds": lambda us: scaled(us % (60 * SECOND), 3),
    "microseconds": lambda us: Decimal(us % (60 * SECOND)),
}
_UNIX_EPOCH: Final = 946_684_800
"""Seconds from 1970-01-01 to 2000-01-01."""


def scaled(value: int, digits: int) -> Decimal:
    """The integer with its point moved `digits` to the left; all digits stay."""
    return EXACT.scaleb(Decimal(value), -digits)


def _finite(value: int) -> int:
    if abs(value) == INFINITY:
        reject("datetime_field_overflow", "a field of an infinite date is not a number JSON has")
    return value


def extract_date(field: str, days: int) -> Decimal:
    """`extract(field from date)`."""
    name = unit(field)
    days = _finite(days)
    if name == "epoch":
        return Decimal(days * 86_400 + _UNIX_EPOCH)
    return Decimal(_DAY_FIELDS[name](days)) if name in _DAY_FIELDS else _unsupported(field)


def extract_timestamp(field: str, value: int) -> Decimal:
    """`extract(field from timestamp)`."""
    name = unit(field)
    value = _finite(value)
    if name == "epoch":
        return scaled(value + _UNIX_EPOCH * SECOND, 6)
    if name in _TIME_FIELDS:
        return _TIME_FIELDS[name](value % DAY)
    return Decimal(_DAY_FIELDS[name](value // DAY)) if name in _DAY_FIELDS else _unsupported(field)


def part_date(field: str, days: int) -> float:
    """`date_part(field, date)`: that of its midnight."""
    return part_timestamp(field, check_timestamp(day_start(days)))


def part_timestamp(field: str, value: int) -> float:
    """`date_part(field, timestamp)`, with the roundings of PostgreSQL's floats."""
    name = unit(field)
    seconds, micros = divmod(_finite(value) % (60 * SECOND), SECOND)
    if name == "second":
        return seconds + micros / 1e6
    if name == "milliseconds":
        return seconds * 1000.0 + micros / 1000.0
    if name == "epoch":
        return float(value + _UNIX_EPOCH * SECOND) / 1e6
    return float(extract_timestamp(field, value))


# --- truncation


def _truncated_year(name: str, year: int) -> int:
    if name == "decade":
        return year // 10 * 10
    length = {"century": 100, "millennium": 1000}.get(name, 1)
    if length == 1:
        return year
    count = _century(year, length)
    return (count - 1) * length + 1 if year > 0 else count * length + 1


def _truncated_day(name: str, days: int) -> int:
    if name == "week":
        return days - (days + _SATURDAY - 1) % 7
    year, month, _ = civil_from_days(days)
    if name == "month":
        return days_from_civil(year, month, 1)
    if name == "quarter":
        return days_from_civil(year, (month - 1) // 3 * 3 + 1, 1)
    return days_from_civil(_truncated_year(name, year), 1, 1)


def date_trunc(field: str, value: int) -> int:
    """`date_trunc(field, timestamp)`."""
    name = unit(field)
    if name not in _UNITS and name not in {
        "week",
        "month",
        "quarter",
        "year",
        "decade",
        "century",
        "millennium",
    }:
        _unsupported(field)
    if abs(value) == INFINITY:
        return value
    if name in _UNITS:
        return check_timestamp(value - value % _UNITS[name])
    return check_timestamp(_truncated_day(name, value // DAY) * DAY)


# --- arithmetic


def add_days(days: int, count: int) -> int:
    """`date + integer`."""
    return days if abs(days) == INFINITY else check_date(days + count)


def subtract_days(days: int, count: int) -> int:
    """`date - integer`."""
    return add_days(days, -count)


def day_start(days: int) -> int:
    """Midnight, for comparing a date with a timestamp: nothing overflows."""
    return days if abs(days) == INFINITY else days * DAY


def days_between(left: int, right: int) -> int:
    """`date - date`."""
    if INFINITY in (abs(left), abs(right)):
        reject("datetime_field_overflow", "cannot subtract infinite dates")
    return fit_int4(left - right)


def time_between(left: int, right: int) -> Interval:
    """`timestamp - timestamp`: days and a time of the same sign."""
    if INFINITY in (abs(left), abs(right)):
        reject("datetime_field_overflow", "cannot subtract infinite timestamps")
    days, micros = divmod(abs(left - right), DAY)
    return Interval(0, days, micros) if left >= right else Interval(0, -days, -micros)


def add_interval(value: int, span: Interval) -> int:
    """`timestamp + interval`: months (to the month's last day at most), then days, then time."""
    if abs(value) == INFINITY:
        return value
    days, micros = divmod(value, DAY)
    if span.months:
        year, month, day = civil_from_days(days)
        years, month = divmod(month - 1 + span.months, 12)
        year, month = year + years, month + 1
        days = days_from_civil(year, month, min(day, month_length(year, month)))
        check_timestamp(days * DAY + micros)
    days += span.days
    return check_timestamp(check_timestamp(days * DAY + micros) + span.microseconds)


def negate(span: Interval) -> Interval:
    """`- interval`."""
    return _fit(Interval(-span.months, -span.days, -span.microseconds))


def subtract_interval(value: int, span: Interval) -> int:
    """`timestamp - interval`."""
    return add_interval(value, negate(span))


def _fit(span: Interval) -> Interval:
    if not (-(1 << 31) <= span.months < 1 << 31 and -(1 << 31) <= span.days < 1 << 31):
        reject("interval_field_overflow", "interval out of range")
    if not -(1 << 63) <= span.microseconds < 1 << 63:
        reject("interval_field_overflow", "interval out of range")
    return span


def add_intervals(left: Interval, right: Interval) -> Interval:
    """`interval + interval`: part by part."""
    return _fit(Interval(*(a + b for a, b in zip(left, right, strict=True))))


def subtract_intervals(left: Interval, right: Interval) -> Interval:
    """`interval - interval`: part by part."""
    return _fit(Interval(*(a - b for a, b in zip(left, right, strict=True))))


def interval_order(span: Interval) -> int:
    """What intervals are compared by: months of 30 days, days of 24 hours."""
    return (span.months * 30 + span.days) * DAY + span.microseconds


# --- interval literals

_WORDS: Final = re.compile(r"\s*([+-]?\d+)\s*([a-z]+)", re.IGNORECASE | re.ASCII)
_CLOCK: Final = re.compile(r"\s*([+-]?)(\d+):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?\s*$", re.ASCII)
_WORD_UNITS: Final = {
    "year": (12, 0, 0),
    "month": (1, 0, 0),
    "week": (0, 7, 0),
    "day": (0, 1, 0),
    "hour": (0, 0, HOUR),
    "minute": (0, 0, 60 * SECOND),
    "second": (0, 0, SECOND),
    "milliseconds": (0, 0, 1000),
    "microseconds": (0, 0, 1),
    "decade": (120, 0, 0),
    "century": (1200, 0, 0),
    "millennium": (12000, 0, 0),
}


def read_interval(text: str) -> Interval:
    """`1 day 2 hours`, `-3 mons`, `1 day 04:05:06` or ISO 8601 with designators."""
    if text.lstrip()[:1] == "P":
        return _fit(parse_interval(text))
    span, at = Interval(0, 0, 0), 0
    while found := _WORDS.match(text, at):
        word = unit(found[2])
        if word not in _WORD_UNITS:
            break
        count = int(found[1])
        span = add_intervals(span, Interval(*(count * part for part in _WORD_UNITS[word])))
        at = found.end()
    rest = text[at:]
    if not rest.strip() and at:
        return span
    clock = _CLOCK.match(rest)
    return add_intervals(span, _clock(clock)) if clock else _bad_interval(text)


def _bad_interval(text: str) -> Any:
    reject("invalid_datetime_format", f"not an interval of the supported forms: {text!r}")


def _clock(found: re.Match[str]) -> Interval:
    sign, hours, minutes, seconds, fraction = found.groups()
    micros = (int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)) * SECOND
    micros += int((fraction or "").ljust(6, "0"))
    return Interval(0, 0, -micros if sign == "-" else micros)
