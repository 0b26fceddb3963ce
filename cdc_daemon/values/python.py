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

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from cdc_daemon.values.civil_time import (
    format_date,
    format_interval,
    format_time,
    format_timestamp,
    parse_date,
    parse_interval,
    parse_time,
    parse_timestamptz,
)
from cdc_daemon.values.float_text import format_float4, format_float8, to_float4
from cdc_daemon.values.scalars import BACKSLASH

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import ColumnType

Decoder: TypeAlias = "Callable[[bytes], Any]"
Encoder: TypeAlias = "Callable[[Any], bytes]"

TEXTUAL = frozenset({"text", "varchar", "bpchar", "name", "uuid", "citext"})


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
