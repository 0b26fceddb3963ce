"""PostgreSQL's dates, times and intervals as integers: read from its text and written again.

Python's own dates end at the years 1 and 9999, PostgreSQL's do not: hence days and microseconds
since 2000-01-01.
"""

# ruff: noqa: PLR2004  the numbers of calendars and number formats have no better names

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from cdc_daemon.errors import RejectedError

DAY = 86_400_000_000
"""Microseconds."""
INFINITY = (1 << 63) - 1
"""`infinity` of date and timestamps; `-infinity` is its negative."""
FIRST_DAY, LAST_DAY = -2451545, 2145031948
"""The range of date: 4714-11-24 BC to 5874897-12-31."""
FIRST_TIME, LAST_TIME = FIRST_DAY * DAY, 106751983 * DAY - 1
"""The range of timestamp: to the end of 294276."""

_DATE_TIME = re.compile(
    r"\s*(\d{4,7})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ]\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d*))?)?"
    r"\s*(Z|[+-]\d{1,2}(?::?\d{2}(?::\d{2})?)?)?)?\s*( BC)?\s*",
    re.ASCII | re.IGNORECASE,
)
_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d*))?)?\s*", re.ASCII)
_INTERVAL = re.compile(
    r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)W)?(?:(-?\d+)D)?"
    r"(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?)(\d+)(?:\.(\d{1,6}))?S)?)?",
    re.ASCII,
)


class Interval(NamedTuple):
    """A span the way PostgreSQL keeps it: the three parts don't convert into each other."""

    months: int
    days: int
    microseconds: int


def reject(reason: str, explanation: str) -> NoReturn:
    """Fail one row, by PostgreSQL's name for the condition."""
    raise RejectedError(reason, explanation)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 2000-01-01 of a date of the proleptic Gregorian calendar; year 0 is 1 BC."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return (
        era * 146097
        + year_of_era * 365
        + year_of_era // 4
        - year_of_era // 100
        + day_of_year
        - 730425
    )


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year (0 is 1 BC), month and day of a number of days since 2000-01-01."""
    era, day = divmod(days + 730425, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    civil_month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (civil_month <= 2), civil_month, day - (153 * month + 2) // 5 + 1


def month_length(year: int, month: int) -> int:
    """How many days that month has."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return (
        29 if month == 2 and leap else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    )


def _invalid(kind: str, text: str) -> NoReturn:
    reject("invalid_datetime_format", f"not a {kind} in ISO 8601: {text!r}")


def check_date(days: int) -> int:
    """The same number of days, if date can hold it."""
    if FIRST_DAY <= days <= LAST_DAY or abs(days) == INFINITY:
        return days
    reject("datetime_field_overflow", "date out of range")


def check_timestamp(value: int) -> int:
    """The same microseconds, if timestamp can hold them."""
    if FIRST_TIME <= value <= LAST_TIME or abs(value) == INFINITY:
        return value
    reject("datetime_field_overflow", "timestamp out of range")


def make_date(year: int, month: int, day: int) -> int:
    """Days of a date whose year is negative for BC. Rejects dates that don't exist."""
    astronomical = year + 1 if year < 0 else year
    if year == 0 or not 1 <= month <= 12 or not 1 <= day <= month_length(astronomical, month):
        reject("datetime_field_overflow", f"date field value out of range: {year}-{month}-{day}")
    return check_date(days_from_civil(astronomical, month, day))


def _time_of_day(hour: str, minute: str, second: str | None, fraction: str | None) -> int:
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    micros = round(float(f"0.{fraction or 0}") * 1e6)
    total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros
    if minutes > 59 or seconds > 59 or total > DAY:
        reject("datetime_field_overflow", f"time out of range: {hour}:{minute}:{second}")
    return total


def _offset(zone: str | None) -> int:
    if not zone or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "")
    digits = digits if len(digits) % 2 == 0 else "0" + digits
    hours, minutes, seconds = (int(digits[at : at + 2] or 0) for at in (0, 2, 4))
    if hours > 15 or minutes > 59 or seconds > 59:
        reject("datetime_field_overflow", f"time zone displacement out of range: {zone!r}")
    micros = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000
    return -micros if zone[0] == "-" else micros


def _parse(kind: str, text: str) -> tuple[int, int, int]:
    """Days, microseconds in the day and the offset from UTC in microseconds."""
    word = text.strip().lower()
    if word in {"infinity", "-infinity"}:
        return (-INFINITY if word[0] == "-" else INFINITY), 0, 0
    found = _DATE_TIME.fullmatch(text)
    if not found:
        _invalid(kind, text)
    year, month, day, hour, minute, second, fraction, zone, before_christ = found.groups()
    days = make_date(-int(year) if before_christ else int(year), int(month), int(day))
    micros = 0 if hour is None else _time_of_day(hour, minute, second, fraction)
    return days, micros, _offset(zone)


def parse_date(text: str) -> int:
    """ISO 8601 (or `infinity`) to days since 2000-01-01; a time of day is left out."""
    return _parse("date", text)[0]


def parse_timestamp(text: str) -> int:
    """ISO 8601 to microseconds since 2000-01-01; an offset is ignored, as PostgreSQL does."""
    days, micros, _ = _parse("timestamp", text)
    return days if abs(days) == INFINITY else check_timestamp(days * DAY + micros)


def parse_timestamptz(text: str) -> int:
    """ISO 8601 to microseconds since 2000-01-01 UTC; without an offset it is UTC."""
    days, micros, offset = _parse("timestamp with time zone", text)
    return days if abs(days) == INFINITY else check_timestamp(days * DAY + micros - offset)


def parse_time(text: str) -> int:
    """`12:34:56.789` to microseconds since midnight."""
    found = _TIME.fullmatch(text)
    return _time_of_day(*found.groups()) if found else _invalid("time", text)


def parse_interval(text: str) -> Interval:
    """ISO 8601 with designators (`P1Y2M3DT4H5M6.7S`) to an interval."""
    found = _INTERVAL.fullmatch(text.strip())
    if not found or text.strip()[-1] in "PT":
        _invalid("interval", text)
    years, months, weeks, days, hours, minutes, seconds = (
        int(part or 0) for part in (*found.groups()[:6], found[8])
    )
    micros = seconds * 1_000_000 + int((found[9] or "").ljust(6, "0"))
    micros = -micros if found[7] else micros
    return Interval(
        years * 12 + months, weeks * 7 + days, (hours * 60 + minutes) * 60_000_000 + micros
    )


def _infinite(value: int) -> str:
    return "infinity" if value > 0 else "-infinity"


def format_time(value: int) -> str:
    """`12:34:56.789`, without trailing zeros."""
    seconds, micros = divmod(value, 1_000_000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{text}.{micros:06d}".rstrip("0") if micros else text


def format_timestamp(value: int, separator: str = " ", zone: str = "") -> str:
    """`2020-01-01 12:34:56.789`, the zone, and ` BC` where it applies."""
    if abs(value) == INFINITY:
        return _infinite(value)
    days, micros = divmod(value, DAY)
    year, month, day = civil_from_days(days)
    era = "" if year > 0 else " BC"
    year = year if year > 0 else 1 - year
    return f"{year:04d}-{month:02d}-{day:02d}{separator}{format_time(micros)}{zone}{era}"


def format_date(days: int) -> str:
    """`2020-01-01`, with ` BC` where it applies."""
    if abs(days) == INFINITY:
        return _infinite(days)
    year, month, day = civil_from_days(days)
    return (
        f"{year:04d}-{month:02d}-{day:02d}"
        if year > 0
        else f"{1 - year:04d}-{month:02d}-{day:02d} BC"
    )


def _truncated(value: int, divisor: int) -> tuple[int, int]:
    quotient, rest = divmod(abs(value), divisor)
    return (-quotient, -rest) if value < 0 else (quotient, rest)


def format_interval(value: Interval) -> str:
    """ISO 8601 with designators, as `intervalstyle = iso_8601` prints it."""
    years, months = _truncated(value.months, 12)
    minutes, micros = _truncated(value.microseconds, 60_000_000)
    hours, minutes = _truncated(minutes, 60)
    date = [f"{n}{unit}" for n, unit in ((years, "Y"), (months, "M"), (value.days, "D")) if n]
    time = [f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n]
    if micros:
        seconds, fraction = divmod(abs(micros), 1_000_000)
        text = f"{seconds}.{fraction:06d}".rstrip("0").rstrip(".")
        time.append(f"{'-' if micros < 0 else ''}{text}S")
    if not date and not time:
        return "PT0S"
    return "P" + "".join(date) + ("T" + "".join(time) if time else "")
