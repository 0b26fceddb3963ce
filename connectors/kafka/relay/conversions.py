"""From our JSON text of a value to the JSON that Debezium writes, by type. Pure.

Most values are the same in both, and have no conversion. Times are numbers to Debezium, decimals
the bytes of an unscaled number, bytes are base64, and what JSON holds is a string.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, unhexlify
from datetime import UTC, date, datetime
from struct import Struct
from typing import TYPE_CHECKING, Final

import orjson

from cdc_daemon.values.civil_time import (
    DAY,
    INFINITY,
    parse_date,
    parse_interval,
    parse_time,
    parse_timestamp,
)
from cdc_daemon.values.special import iso_date

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.values import Encoder

NULL: Final = b"null"

UNIX_DAYS: Final = 10_957
"""From 1970-01-01, where Debezium's times begin, to 2000-01-01, where PostgreSQL's do."""
MILLISECOND: Final = 1000
"""Microseconds."""
MOST_INFINITE: Final = 9_223_372_036_825_200_000
LEAST_INFINITE: Final = -9_223_372_036_832_400_000
"""What PostgreSQL's driver for Java makes of infinity, and Debezium passes on."""
MOST_DAYS: Final = 2**31 - 1
LEAST_DAYS: Final = -(2**31)
"""The same for dates."""
MOST_NUMBER: Final = 2**63 - 1
LEAST_NUMBER: Final = -(2**63)
DAYS_OF_MONTH: Final = 365.25 / 12
"""The length of a month in an interval that is one number."""

_ENDLESS_INTERVALS: Final = {
    b'"infinity"': b"%d" % MOST_NUMBER,
    b'"-infinity"': b"%d" % LEAST_NUMBER,
}
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_DIGITS: Final = re.compile(rb"\D+")
_LOGICAL_POINT: Final = Struct("<BIdd").pack
_WKB_POINT: Final = 1
_LITTLE_ENDIAN: Final = 1
_ELEMENT: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]|[^"\[\]{},]+', re.DOTALL)
_BEFORE_ZONE: Final = -len('+00:00"')
_LONG_INTEGER: Final = 4000
"""Python refuses to read more digits at once than 4300."""


def unquoted(value: bytes) -> bytes:
    """A number that is a string in our JSON."""
    return value[1:-1]


def quoted(value: bytes) -> bytes:
    """A number as a string."""
    return b'"%b"' % value


def as_text(value: bytes) -> bytes:
    """JSON as the string that holds it."""
    return orjson.dumps(value.decode())


def boolean_bit(value: bytes) -> bytes:
    """A single bit."""
    return b"true" if value == b'"1"' else b"false"


def bits(value: bytes) -> bytes:
    """Bits as little-endian bytes, as few as hold those that are set."""
    number = int(value[1:-1] or b"0", 2)
    return base64(number.to_bytes((number.bit_length() + 7) // 8, "little"))


def base64(raw: bytes) -> bytes:
    """Bytes as JSON has them."""
    return b'"%b"' % b2a_base64(raw, newline=False)


def binary(value: bytes) -> bytes:
    r"""`"\\xdead"` as base64."""
    return base64(unhexlify(value[4:-1]))


def days(value: bytes) -> bytes:
    """A date as days since 1970-01-01."""
    return b"%d" % (date.fromisoformat(value[1:-1].decode()).toordinal() - _EPOCH_DAY)


def far_days(value: bytes) -> bytes:
    """The same, of dates that Python doesn't know."""
    found = parse_date(value[1:-1].decode())
    if abs(found) == INFINITY:
        return b"%d" % (MOST_DAYS if found > 0 else LEAST_DAYS)
    return b"%d" % (found + UNIX_DAYS)


def microseconds(value: bytes) -> bytes:
    """A timestamp as microseconds since 1970-01-01."""
    since = datetime.fromisoformat(value[1:-1].decode()) - _EPOCH
    return b"%d" % ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def far_microseconds(value: bytes) -> bytes:
    """The same, of timestamps that Python doesn't know."""
    found = parse_timestamp(value[1:-1].decode())
    if abs(found) == INFINITY:
        return b"%d" % (MOST_INFINITE if found > 0 else LEAST_INFINITE)
    return b"%d" % (found + UNIX_DAYS * DAY)


def milliseconds(value: bytes) -> bytes:
    """A timestamp of three digits and less as milliseconds since 1970-01-01."""
    return b"%d" % (int(microseconds(value)) // MILLISECOND)


def far_milliseconds(value: bytes) -> bytes:
    """The same, of timestamps that Python doesn't know."""
    return b"%d" % (int(far_microseconds(value)) // MILLISECOND)


def microseconds_of_day(value: bytes) -> bytes:
    """A time as microseconds since midnight."""
    return b"%d" % parse_time(value[1:-1].decode())


def milliseconds_of_day(value: bytes) -> bytes:
    """A time of three digits and less as milliseconds since midnight."""
    return b"%d" % (parse_time(value[1:-1].decode()) // MILLISECOND)


def zoned_timestamp(digits: int) -> Encoder:
    """A timestamp with time zone, in UTC, with so many digits of the second."""

    def convert(value: bytes) -> bytes:
        whole, _, fraction = value[1:_BEFORE_ZONE].partition(b".")
        if digits:
            return b'"%b.%bZ"' % (whole, fraction.ljust(digits, b"0"))
        return b'"%bZ"' % whole

    return convert


def far_zoned_timestamp(digits: int) -> Encoder:
    """The same, of years with more digits or before Christ, and of infinity."""
    near = zoned_timestamp(digits)

    def convert(value: bytes) -> bytes:
        return value if b"infinity" in value else near(iso_date(value))

    return convert


def zoned_time(value: bytes) -> bytes:
    """A time with time zone, in UTC."""
    text = value[1:-1].decode()
    at = max(text.rfind("+"), text.rfind("-"))
    shift = parse_time(_full_zone(text[at + 1 :])) * (1 if text[at] == "-" else -1)
    moved = (parse_time(text[:at]) + shift) % DAY
    seconds, fraction = divmod(moved, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if fraction:
        clock += f".{fraction:06d}".rstrip("0")
    return f'"{clock}Z"'.encode()


def _full_zone(zone: str) -> str:
    return zone if ":" in zone else f"{zone}:00"


def interval_microseconds(value: bytes) -> bytes:
    """An interval as one number: months of an average length, and at most what 64 bits hold."""
    if value in _ENDLESS_INTERVALS:
        return _ENDLESS_INTERVALS[value]
    months, days_, micros = parse_interval(value[1:-1].decode())
    seconds = (months * DAYS_OF_MONTH + days_) * 86_400 + micros / 1e6
    return b"%d" % max(LEAST_NUMBER, min(MOST_NUMBER, int(seconds * 1e6)))


def interval_text(value: bytes) -> bytes:
    """An interval as `P1Y2M3DT4H5M6.7S`, with every part."""
    if value in _ENDLESS_INTERVALS:
        return value
    months, days_, micros = parse_interval(value[1:-1].decode())
    sign, years = (-1, -months // 12) if months < 0 else (1, months // 12)
    left = -(-months % 12) if months < 0 else months % 12
    clock = -1 if micros < 0 else 1
    minutes, rest = divmod(abs(micros), 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1e6:.6f}".rstrip("0").rstrip(".")
    second = f"-{seconds}" if clock < 0 and rest else seconds
    return (
        f'"P{sign * years}Y{left}M{days_}DT{clock * hours}H{clock * minutes}M{second}S"'
    ).encode()


def unscaled(number: int) -> bytes:
    """A whole number as base64 of its bytes, big-endian, as few as hold it and its sign."""
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return base64(number.to_bytes(size, "big", signed=True))


def _integer(digits: bytes) -> int:
    if len(digits) < _LONG_INTEGER:
        return int(digits)
    half = len(digits) - _LONG_INTEGER // 2
    head = _integer(digits[:half])
    tail = int(digits[half:]) * (-1 if digits[:1] == b"-" else 1)
    return head * int(10 ** (len(digits) - half)) + tail


def decimal(scale: int) -> Encoder:
    """A numeric of declared scale, unscaled."""

    def convert(value: bytes) -> bytes:
        whole, _, fraction = value.partition(b".")
        return unscaled(_integer(whole + fraction.ljust(scale, b"0")))

    return convert


def exact_decimal(encode: Encoder) -> Encoder:
    """The same where the value is special: NaN and the infinities have no bytes."""

    def convert(exact: bytes) -> bytes:
        return NULL if exact[:1] == b'"' else encode(exact)

    return convert


def variable_decimal(value: bytes) -> bytes:
    """A numeric without a declared scale, each value with its own."""
    whole, _, fraction = value.partition(b".")
    fraction = fraction.rstrip(b"0")
    return b'{"scale":%d,"value":%b}' % (len(fraction), unscaled(_integer(whole + fraction)))


def decimal_text(exact: bytes) -> bytes:
    """A special numeric as a string."""
    return exact if exact[:1] == b'"' else quoted(exact)


def same(value: bytes) -> bytes:
    """The value as it is."""
    return value


def _cents(value: bytes) -> int:
    """Money as the server writes it, which depends on its locale, by its digits."""
    number = int(_DIGITS.sub(b"", value) or b"0")
    return -number if b"-" in value or b"(" in value else number


def money(value: bytes) -> bytes:
    """Money, unscaled."""
    return unscaled(_cents(value))


def money_text(value: bytes) -> bytes:
    """Money as a string."""
    return quoted(money_double(value))


def money_double(value: bytes) -> bytes:
    """Money as a number."""
    cents = _cents(value)
    sign = b"-" if cents < 0 else b""
    return b"%b%d.%02d" % (sign, abs(cents) // 100, abs(cents) % 100)


def point(value: bytes) -> bytes:
    """A point as its coordinates, and as well-known binary."""
    x, _, y = value[2:-2].partition(b",")
    wkb = base64(_LOGICAL_POINT(_LITTLE_ENDIAN, _WKB_POINT, float(x), float(y)))
    return b'{"x":%b,"y":%b,"wkb":%b,"srid":null}' % (_number(x), _number(y), wkb)


def _number(text: bytes) -> bytes:
    return b'"%b"' % text if text[-1:].isalpha() else text


def number_list(value: bytes) -> bytes:
    """An array of numbers that are strings in our JSON."""
    return value.replace(b'"', b"")


def each(convert: Callable[[bytes], bytes]) -> Encoder:
    """An array, of any dimension, with every element converted."""

    def convert_all(value: bytes) -> bytes:
        return b"[%b]" % b",".join(
            NULL if one == NULL else convert_all(one) if one[:1] == b"[" else convert(one)
            for one in elements(value)
        )

    return convert_all


def each_flat(convert: Callable[[bytes], bytes]) -> Encoder:
    """An array of one dimension, whose elements may be arrays of JSON."""

    def convert_all(value: bytes) -> bytes:
        return b"[%b]" % b",".join(one if one == NULL else convert(one) for one in elements(value))

    return convert_all


def elements(array: bytes) -> list[bytes]:
    """The elements of a JSON array, each as its JSON text."""
    found: list[bytes] = []
    parts: list[bytes] = []
    depth = 0
    for token in _ELEMENT.findall(array):
        if token == b"," and depth == 1:
            found.append(b"".join(parts).strip())
            parts = []
            continue
        depth += (token in {b"[", b"{"}) - (token in {b"]", b"}"})
        if (depth == 1 and token == b"[" and not (found or parts)) or depth == 0:
            continue
        parts.append(token)
    if parts:
        found.append(b"".join(parts).strip())
    return found
