"""Values as bytes that sort as PostgreSQL sorts the values: text bytewise (collation "C"). Pure.

Two values have the same bytes exactly when PostgreSQL calls them equal, so the same bytes serve as
keys. No value's bytes begin another's of its type (they are of one length, or end in a byte that
is nowhere else), so they can follow each other, and can be inverted to sort descending.
"""

from __future__ import annotations

import ipaddress
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Final

import orjson

from cdc_daemon.events import ColumnType, Special
from cdc_daemon.values import canonical_key
from cdc_daemon.values.python import decoder
from cdc_daemon.values.scalars import BACKSLASH

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.values import Encoder

_INTEGER: Final = Struct(">Q").pack
_HALF: Final = 1 << 63
"""Added to a signed integer, so that it sorts as an unsigned one."""
_WIDE_HALF: Final = 1 << 127
_FLOAT: Final = Struct(">d").pack
_BITS: Final = Struct(">Q").unpack
_ALL_BITS: Final = (1 << 64) - 1
_INVERTED: Final = bytes(255 - byte for byte in range(256))
_NAN: Final = b'"NaN"'
_INFINITY: Final = b'"Infinity"'
_MINUS_INFINITY: Final = b'"-Infinity"'
_MINUS: Final = ord("-")

# Of numeric: what it begins with. NaN is the greatest, as in PostgreSQL.
_LEAST, _NEGATIVE, _ZERO, _POSITIVE, _GREATEST, _NO_NUMBER = (bytes((n,)) for n in range(6))
_EXPONENT_HALF: Final = 1 << 23
"""Exponents of numeric go from -16,383 to 131,072."""
_PAIR: Final = {f"{n:02}".encode(): bytes((n + 1,)) for n in range(100)}
"""Two decimal digits in a byte; 0 ends the number."""

_INTEGERS: Final = frozenset({"int2", "int4", "int8"})
_TEXTS: Final = frozenset({"text", "varchar", "name", "macaddr", "macaddr8", "bit", "varbit"})
_TIMES: Final = frozenset({"date", "time", "timestamp", "timestamptz"})


def order_encoder(type: ColumnType) -> Encoder | None:  # noqa: A002 - as in `values`
    """From the JSON of a value (never NULL) to bytes that sort as it does; None: none are known."""
    base = type.base
    if base.kind == "enum":
        return partial(_label, {label.encode(): n for n, label in enumerate(base.labels)})
    if base.kind != "base":
        return None
    if base.name in _INTEGERS:
        return integer
    if base.name in _TEXTS:
        return text
    if base.name in _TIMES:
        return _counted(decoder(base))
    return _OTHERS.get(base.name)


def key_encoder(type: ColumnType) -> Encoder:  # noqa: A002 - as in `values`
    """As `order_encoder`; what has no order but an equality is its canonical JSON.

    Raises ConfigurationError for a type without an equality.
    """
    canonical = canonical_key(type) or bytes
    return order_encoder(type) or (lambda value: canonical(value) + b"\0")


def inverted(ordered: bytes) -> bytes:
    """The same, sorting the other way round."""
    return ordered.translate(_INVERTED)


def integer(value: bytes) -> bytes:
    """int2, int4 and int8 alike, so that they can be joined with each other: 0.2 us."""
    return _INTEGER(int(value) + _HALF)


def text(value: bytes) -> bytes:
    """UTF-8 and a NUL, which no text of PostgreSQL holds."""
    return _plain(value) + b"\0"


def _plain(value: bytes) -> bytes:
    if BACKSLASH in value:
        return orjson.loads(value).encode()  # type: ignore[no-any-return]  # a JSON string
    return value[1:-1]


def _label(positions: dict[bytes, int], value: bytes) -> bytes:
    """The place of the label; a label that was added since comes last, by its text."""
    label = _plain(value)
    place = positions.get(label)
    return b"\xff\xff%b\0" % label if place is None else b"%b" % place.to_bytes(2, "big")


def _counted(decode: Callable[[bytes], int] | None) -> Encoder:
    """Dates and times as the integers that PostgreSQL has for them; infinity is the last one."""
    assert decode is not None  # noqa: S101 - values.python knows every type of _TIMES
    return lambda value: _INTEGER(decode(value) + _HALF)


def _boolean(value: bytes) -> bytes:
    return b"\1" if value == b"true" else b"\0"


def _float(value: bytes) -> bytes:
    """The bits of a double sort as it does once negative ones are inverted; NaN is the last."""
    if isinstance(value, Special):
        value = value.exact
        if value == _NAN:
            return b"\xff" * 8
        value = value.strip(b'"')
    number = float(value) or 0.0  # there is one zero
    (bits,) = _BITS(_FLOAT(number))
    return _INTEGER(bits ^ _ALL_BITS if bits & _HALF else bits | _HALF)


def _numeric(value: bytes) -> bytes:
    """Sign, decimal exponent, digits by twos: any size, without trailing zeros."""
    if isinstance(value, Special):
        value = value.exact
        if value in _NUMERIC_WORDS:
            return _NUMERIC_WORDS[value]
    negative = value[0] == _MINUS
    whole, _, fraction = value.lstrip(b"-").partition(b".")
    whole = whole.lstrip(b"0")
    digits = (whole + fraction).lstrip(b"0")
    exponent = len(whole) if whole else len(digits) - len(fraction)
    digits = digits.rstrip(b"0")
    if not digits:
        return _ZERO
    if len(digits) % 2:
        digits += b"0"
    pairs = b"".join([_PAIR[digits[at : at + 2]] for at in range(0, len(digits), 2)])
    size = b"%b%b\0" % ((exponent + _EXPONENT_HALF).to_bytes(3, "big"), pairs)
    return _NEGATIVE + inverted(size) if negative else _POSITIVE + size


_NUMERIC_WORDS: Final = {_NAN: _NO_NUMBER, _INFINITY: _GREATEST, _MINUS_INFINITY: _LEAST}


def _blank_padded(value: bytes) -> bytes:
    return _plain(value).rstrip(b" ") + b"\0"


def _canonical_text(value: bytes) -> bytes:
    return text(_CITEXT(value))


def _bytea(value: bytes) -> bytes:
    r"""Bytes, where a NUL is `\0\xff`: two NULs end it."""
    return bytes.fromhex(value[4:-1].decode()).replace(b"\0", b"\0\xff") + b"\0\0"


def _uuid(value: bytes) -> bytes:
    return bytes.fromhex(value[1:-1].replace(b"-", b"").decode())


def _oid(value: bytes) -> bytes:
    return integer(value[1:-1])


def _interval(value: bytes) -> bytes:
    """Its length in microseconds, which doesn't fit into 64 bits."""
    length = _INTERVAL(value).strip(b'"')
    if length.endswith(b"infinity"):
        return (b"\0" if length[0] == _MINUS else b"\xff") * 16
    return (int(length) + _WIDE_HALF).to_bytes(16, "big")


def _network(value: bytes) -> bytes:
    """Family, network, length of its mask, address: the order of `network_cmp`."""
    address = ipaddress.ip_interface(value[1:-1].decode())
    network = address.network
    family = bytes((address.version,))
    return family + network.network_address.packed + bytes((network.prefixlen,)) + address.packed


def _canonical_of(name: str) -> Encoder:

    encode = canonical_key(ColumnType(name))
    assert encode is not None  # noqa: S101 - such types have a canonical form
    return encode


_CITEXT: Final = _canonical_of("citext")
_INTERVAL: Final = _canonical_of("interval")
_OTHERS: Final[dict[str, Encoder]] = {
    "bool": _boolean,
    "bpchar": _blank_padded,
    "bytea": _bytea,
    "cidr": _network,
    "citext": _canonical_text,
    "float4": _float,
    "float8": _float,
    "inet": _network,
    "interval": _interval,
    "numeric": _numeric,
    "oid": _oid,
    "uuid": _uuid,
}
