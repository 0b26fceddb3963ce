"""Values of one column as Python sees them: JSON text to Python and back, by SQL type.

    int2 int4 int8          int
    numeric                 Decimal, whose exponent is PostgreSQL's display scale (1.50 stays 1.50)
    float4 float8           float (a float4 is kept as the exact value of its 32 bits)
    bool                    bool
    text varchar bpchar uuid, enums   str (bpchar with its padding)
    bytea                   bytes
    date                    days since 2000-01-01
    timestamp timestamptz   microseconds since 2000-01-01 (UTC)
    time                    microseconds since midnight
    interval                Interval
    json jsonb              its JSON text as bytes
    arrays                  list, None for NULL

Python's own dates end at the years 1 and 9999, PostgreSQL's do not: hence the integers.
"""

# ruff: noqa: PLR2004  the numbers of calendars and number formats have no better names

from __future__ import annotations

import json
import re
import struct
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import orjson

from cdc_daemon.errors import RejectedError
from cdc_daemon.values.scalars import BACKSLASH

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import ColumnType

Decoder: TypeAlias = "Callable[[bytes], Any]"
Encoder: TypeAlias = "Callable[[Any], bytes]"

TEXTUAL = frozenset({"text", "varchar", "bpchar", "name", "uuid", "citext"})

DAY = 86_400_000_000
"""Microseconds."""
INFINITY = (1 << 63) - 1
"""`infinity` of date and timestamps; `-infinity` is its negative."""
FIRST_DAY, LAST_DAY = -2451545, 2145031948
"""The range of date: 4714-11-24 BC to 5874897-12-31."""
FIRST_TIME, LAST_TIME = FIRST_DAY * DAY, 106751983 * DAY - 1
"""The range of timestamp: to the end of 294276."""

_FLOAT4, _FLOAT8 = ("<f", "<I"), ("<d", "<Q")

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


def _scientific(shortest: str, fixed_below: int) -> str:
    """Write a shortest decimal as PostgreSQL does: fixed for exponents -4 to `fixed_below`."""
    sign, digit_tuple, exponent = Decimal(shortest).as_tuple()
    digits = "".join(map(str, digit_tuple)).rstrip("0") or "0"
    power = len(digit_tuple) + int(exponent) - 1
    minus = "-" if sign else ""
    if digits == "0":
        return minus + "0"
    if -4 <= power < fixed_below:
        return minus + format(Decimal(f"{digits}e{power - len(digits) + 1}"), "f")
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{minus}{mantissa}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _not_finite(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124  that is what NaN is


def format_float8(value: float) -> str:
    """The shortest text that reads back as the same value, as PostgreSQL prints it."""
    text = repr(value)
    if text[-1] in "nf":
        return _not_finite(value)
    if len(text) < 16 and "e" not in text:
        return text.removesuffix(".0")
    if abs(value) >= 1 << 52 and not _inside(text, value, _FLOAT8):
        texts = (f"{value:.{digits}g}" for digits in range(1, 18))
        text = next(t for t in texts if float(t) == value and _inside(t, value, _FLOAT8))
    return _scientific(text, 15)


def _inside(text: str, value: float, formats: tuple[str, str]) -> bool:
    """Whether a decimal is nearer to `value` than to its neighbours; never just between them.

    PostgreSQL prints no decimal that lies exactly between two values, Python does.
    """
    as_float, as_int = formats
    bits = struct.unpack(as_int, struct.pack(as_float, abs(value)))[0]
    below, above = (
        struct.unpack(as_float, struct.pack(as_int, bits + step))[0] for step in (-1, 1)
    )
    exact = abs(Fraction(text))
    if above - above != 0:  # the neighbour of the largest value is infinity
        return 2 * exact > Fraction(below) + abs(Fraction(value))
    return Fraction(below) < 2 * exact - abs(Fraction(value)) < Fraction(above)


def to_float4(value: float) -> float:
    """Round to 32 bits. Raises OverflowError where they can't hold it."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _reads_back(text: str, value: float) -> bool:
    try:
        same = to_float4(float(text)) == value
    except OverflowError:  # rounded up at the end of the range: more digits will do
        return False
    return same and (abs(value) < 1 << 22 or _inside(text, value, _FLOAT4))


def format_float4(value: float) -> str:
    """The shortest text that reads back as the same 32-bit value."""
    if value - value != 0:
        return _not_finite(value)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if _reads_back(text, value):
            break
    return _scientific(text, 6)


class RawNumber(str):
    """A JSON number as it was written: converting it would lose digits."""

    __slots__ = ()


def load_exact(text: bytes | str) -> Any:
    """Parse JSON, with every number as a `RawNumber`."""
    return json.loads(text, parse_int=RawNumber, parse_float=RawNumber)


def dump_jsonb(value: Any) -> str:
    """Write what `load_exact` returned the way PostgreSQL prints jsonb: `{"a": [1, 2]}`."""
    if isinstance(value, RawNumber):
        return str(value)
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    if isinstance(value, dict):
        pairs = (f"{orjson.dumps(key).decode()}: {dump_jsonb(v)}" for key, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dump_jsonb(item) for item in value) + "]"
    return {None: "null", True: "true", False: "false"}[value]


def decode_text(text: bytes) -> str:
    """A JSON string to str."""
    if BACKSLASH in text:  # eight times as fast as b"\\" in text
        return str(orjson.loads(text))
    return text[1:-1].decode()


def decode_bool(text: bytes) -> bool:
    """`true` or `false`."""
    return text == b"true"


def decode_numeric(text: bytes) -> Decimal:
    """A JSON number to Decimal with every digit; a number in e-notation gets scale 0 or more."""
    value = Decimal(text.decode())
    if value.as_tuple().exponent > 0:  # type: ignore[operator]  # a JSON number is always finite
        return Decimal(format(value, "f"))
    return value


def decode_bytea(text: bytes) -> bytes:
    r"""A JSON string `"\\x6162"` to bytes."""
    return bytes.fromhex(decode_text(text)[2:])


def _same(text: bytes) -> bytes:
    return text


def encode_text(value: str) -> bytes:
    """Str to a JSON string, in a buffer of its own size (orjson's has 1 KiB)."""
    return b"%b" % orjson.dumps(value)


def encode_bool(value: bool) -> bytes:  # noqa: FBT001  it is the value, not a switch
    """`true` or `false`."""
    return b"true" if value else b"false"


def encode_int(value: int) -> bytes:
    """Int to a JSON number."""
    return b"%d" % value


def encode_numeric(value: Decimal) -> bytes:
    """Decimal to a JSON number with every digit of its scale."""
    return format(value, "f").encode()


def encode_float8(value: float) -> bytes:
    """Float to a JSON number; what JSON has no number for is null, as in the row itself."""
    text = format_float8(value)
    return b"null" if text[-1] in "Nyn" else text.encode()


def encode_float4(value: float) -> bytes:
    """Float of 32 bits to a JSON number; NaN and infinities are null."""
    text = format_float4(value)
    return b"null" if text[-1] in "Nyn" else text.encode()


def _decode_float4(text: bytes) -> float:
    return to_float4(float(text))


def _string(parse: Callable[[str], Any]) -> Decoder:
    return lambda text: parse(text[1:-1].decode())


def _decode_timestamp(text: bytes) -> int:
    """Of a row, where every offset is +00:00; Python is the fastest within its own years."""
    written = text[1:-1].decode()
    try:
        return (datetime.fromisoformat(written).replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    except ValueError:
        return parse_timestamptz(written)


def _decode_date(text: bytes) -> int:
    written = text[1:-1].decode()
    try:
        return date.fromisoformat(written).toordinal() - _EPOCH_DAY
    except ValueError:
        return parse_date(written)


def _quoted(write: Callable[[Any], str]) -> Encoder:
    return lambda value: b'"%b"' % write(value).encode()


def _iso_timestamp(value: int) -> str:
    return format_timestamp(value, "T")


def _iso_timestamptz(value: int) -> str:
    return format_timestamp(value, "T", "+00:00")


_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001  both types count from the same day
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)

_CODECS: dict[str, tuple[Decoder, Encoder]] = {
    "int2": (int, encode_int),
    "int4": (int, encode_int),
    "int8": (int, encode_int),
    "oid": (int, encode_int),
    "numeric": (decode_numeric, encode_numeric),
    "float4": (_decode_float4, encode_float4),
    "float8": (float, encode_float8),
    "bool": (decode_bool, encode_bool),
    "bytea": (decode_bytea, lambda value: b'"\\\\x%b"' % value.hex().encode()),
    "date": (_decode_date, _quoted(format_date)),
    "time": (_string(parse_time), _quoted(format_time)),
    "timestamp": (_decode_timestamp, _quoted(_iso_timestamp)),
    "timestamptz": (_decode_timestamp, _quoted(_iso_timestamptz)),
    "interval": (_string(parse_interval), _quoted(format_interval)),
    "json": (_same, _same),
    "jsonb": (_same, _same),
}
_CODECS |= dict.fromkeys(TEXTUAL, (decode_text, encode_text))


def decoder(column_type: ColumnType) -> Decoder | None:
    """How JSON text (never `null`) of this type becomes a Python value; None: not supported."""
    base = column_type.base
    if base.kind == "array" and base.element is not None:
        return _array_decoder(base.element)
    if base.kind == "enum":
        return decode_text
    return _CODECS[base.name][0] if base.name in _CODECS else None


def encoder(column_type: ColumnType) -> Encoder | None:
    """How a Python value (never None) of this type becomes JSON text; None: not supported."""
    base = column_type.base
    if base.kind == "array" and base.element is not None:
        return _array_encoder(base.element)
    if base.kind == "enum":
        return encode_text
    return _CODECS[base.name][1] if base.name in _CODECS else None


def _array_decoder(element: ColumnType) -> Decoder | None:
    decode = decoder(element)
    if decode is None:
        return None
    if decode is int or decode is decode_text:
        return orjson.loads

    def decode_array(text: bytes) -> list[Any]:
        def convert(item: Any) -> Any:
            if isinstance(item, list) and element.base.name not in {"json", "jsonb"}:
                return [convert(inner) for inner in item]
            return None if item is None else decode(dump_jsonb(item).encode())

        return [convert(item) for item in load_exact(text)]

    return decode_array


def _array_encoder(element: ColumnType) -> Encoder | None:
    encode = encoder(element)
    if encode is None:
        return None

    def encode_array(values: list[Any]) -> bytes:
        items = (
            b"null" if v is None else encode_array(v) if isinstance(v, list) else encode(v)
            for v in values
        )
        return b"[" + b", ".join(items) + b"]"

    return encode_array
