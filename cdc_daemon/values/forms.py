"""Forms: what a field makes of its column's JSON, where the sink wants another JSON of it.

A form is chosen once, when a mapping is compiled. Most fields need nothing at all, and look only at
`Special` values.
"""

from __future__ import annotations

import enum
from binascii import b2a_base64, unhexlify
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from cdc_daemon.values.geometry import (
    NotOnEarthError,
    geo_point,
    geo_points,
    geo_shape,
    geometry_collection,
)
from cdc_daemon.values.python import RawNumber, dump_jsonb, load_exact
from cdc_daemon.values.ranges import range_encoder
from cdc_daemon.values.scalars import DATES, NULL, NUMBERS, QUOTE, Encoder, text
from cdc_daemon.values.special import has_special, iso_date

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cdc_daemon.events import ColumnType


class Form(enum.Enum):
    """How the values of a field are written."""

    VALUE = "value"
    """As the row has them; NaN, the infinities and what no double holds are unrepresentable. Dates
    have ISO 8601's years: `+12024`, `-0043` for 44 BC."""
    TEXT = "text"
    """As the row has them, special values by PostgreSQL's name: nothing is unrepresentable."""
    DATE_NANOS = "date_nanos"
    """Dates from 1970 to April 2262."""
    BASE64 = "base64"
    GEO_POINT = "geo_point"
    GEO_SHAPE = "geo_shape"
    RANGE = "range"
    """`{"gte":1,"lt":5}`; a bound that isn't there is left out, and so is an infinite one."""
    IP = "ip"
    """An address without a netmask."""
    IP_RANGE = "ip_range"
    """A network, with its length: `10.0.0.1/32`."""


Refuse: TypeAlias = "Callable[[str], bytes]"
"""What becomes of a value that the field can't hold, and why it can't: null, or RejectedError."""

_Leaf: TypeAlias = "Callable[[ColumnType], Encoder]"

FIRST_NANOS: Final = b'"1970'
END_OF_NANOS: Final = b'"2262-04-11T23:47:16.854776'
"""64 bits of nanoseconds end within the microsecond before."""

_INFINITE_DATES: Final = frozenset({b'"infinity"', b'"-infinity"'})
_HEXADECIMAL: Final = slice(4, -1)
"""Of `"\\\\xdead"`, within its quotes and behind its prefix."""
_MAPPED: Final = b'"::ffff:'
_MAPPED_BITS: Final = 96
_IPV6_BITS: Final = 128
_DOT: Final = ord(".")
_COLON: Final = ord(":")
_SLASH: Final = ord("/")


class Conversion(NamedTuple):
    """What a form needs to do: to every value (never null), and to the exact JSON of a `Special`.

    None: nothing, it is as it is to be.
    """

    always: Encoder | None = None
    special: Encoder | None = None


def conversion(form: Form, type: ColumnType, refuse: Refuse) -> Conversion:  # noqa: A002 - the name of the API
    """How a field of this form writes values of `type`."""
    if form in {Form.TEXT, Form.VALUE}:
        if not has_special(type):
            return Conversion()
        return Conversion(special=bytes if form is Form.TEXT else _each(type, _finite(refuse)))
    always = _each(type, _LEAVES[form](refuse))
    if form in _GATHERED and type.base.kind == "array":
        always = _then(always, _GATHERED[form])
    return Conversion(always, always)


def _then(first: Encoder, second: Encoder) -> Encoder:
    return lambda value: second(first(value))


def _each(type: ColumnType, leaf: _Leaf) -> Encoder:  # noqa: A002 - the name of the API
    """Convert a value, or each that an array or composite holds."""
    base = type.base
    if base.kind not in {"array", "composite"}:
        return leaf(base)
    convert = _nested(base, leaf)
    return lambda value: convert(load_exact(value))


def _nested(type: ColumnType, leaf: _Leaf) -> Callable[[Any], bytes]:  # noqa: A002 - the name of the API
    """The same for JSON that has been read."""
    base = type.base
    if base.kind == "array" and base.element is not None:
        element = _nested(base.element, leaf)

        def convert_array(value: Any) -> bytes:
            if not isinstance(value, list):
                return element(value)
            return b"[%b]" % b",".join(map(convert_array, value))

        return convert_array
    if base.kind == "composite":
        return _nested_attributes(base, leaf)
    convert = leaf(base)
    return lambda value: NULL if value is None else convert(_written(value))


def _nested_attributes(type: ColumnType, leaf: _Leaf) -> Callable[[Any], bytes]:  # noqa: A002 - the name of the API
    attributes = {name: _nested(one, leaf) for name, one in type.attributes}

    def convert(value: dict[str, Any] | None) -> bytes:
        if value is None:
            return NULL
        pairs = (text(name.encode()) + b":" + attributes[name](v) for name, v in value.items())
        return b"{%b}" % b",".join(pairs)

    return convert


def _written(value: Any) -> bytes:
    return value.encode() if isinstance(value, RawNumber) else dump_jsonb(value).encode()


def _finite(refuse: Refuse) -> _Leaf:
    """What numbers and dates of a sink hold; other values are as they are."""

    def number(value: bytes) -> bytes:
        if value[0] == QUOTE or abs(float(value)) == float("inf"):
            return refuse("NaN, an infinity, or more than a double holds")
        return value

    def date(value: bytes) -> bytes:
        return refuse("infinity is no date") if value in _INFINITE_DATES else iso_date(value)

    def leaf(type: ColumnType) -> Encoder:  # noqa: A002 - the name of the API
        if type.kind == "base" and type.name in NUMBERS:
            return number
        return date if type.kind == "base" and type.name in DATES else bytes

    return leaf


def _nanos(refuse: Refuse) -> _Leaf:
    def convert(value: bytes) -> bytes:
        written = value if value in _INFINITE_DATES else iso_date(value)
        if FIRST_NANOS <= written < END_OF_NANOS:
            return written
        return refuse("date_nanos begins in 1970 and ends in April 2262")

    return lambda _: convert


def _geo_point(refuse: Refuse) -> _Leaf:
    return lambda _: _on_earth(geo_point, refuse)


def _geo_shape(refuse: Refuse) -> _Leaf:
    return lambda type_: _on_earth(geo_shape(type_.name), refuse)


def _on_earth(convert: Encoder, refuse: Refuse) -> Encoder:
    def checked(value: bytes) -> bytes:
        try:
            return convert(value)
        except NotOnEarthError:
            return refuse("a coordinate is no longitude (to 180) or latitude (to 90)")

    return checked


def _range(refuse: Refuse) -> _Leaf:
    return lambda type_: range_encoder(type_, refuse)


def _base64(_: Refuse) -> _Leaf:
    def convert(value: bytes) -> bytes:
        return b'"%b"' % b2a_base64(unhexlify(value[_HEXADECIMAL]), newline=False)

    return lambda _: convert


def _ip(refuse: Refuse) -> _Leaf:
    def convert(value: bytes) -> bytes:
        return refuse("an address with a netmask is a network") if _SLASH in value else value

    return lambda _: convert


def _ip_range(refuse: Refuse) -> _Leaf:
    def convert(value: bytes) -> bytes:
        if value.startswith(_MAPPED) and _DOT in value:
            return _unmapped(value, refuse)
        if _SLASH in value:
            return value
        return value[:-1] + (b'/128"' if _COLON in value else b'/32"')

    return lambda _: convert


_GATHERED: Final[dict[Form, Encoder]] = {
    Form.GEO_POINT: geo_points,
    Form.GEO_SHAPE: geometry_collection,
}
"""What makes one value of an array, where a field doesn't take several as they are."""


def _unmapped(value: bytes, refuse: Refuse) -> bytes:
    """OpenSearch takes no network of IPv4 that is written as IPv6's: `::ffff:10.0.0.0/104`."""
    address, _, length = value[len(_MAPPED) : -1].partition(b"/")
    bits = int(length or _IPV6_BITS) - _MAPPED_BITS
    if bits < 0:
        return refuse("a network that is wider than IPv4 but written as one of it")
    return b'"%b/%d"' % (address, bits)


_LEAVES: Final[dict[Form, Callable[[Refuse], _Leaf]]] = {
    Form.DATE_NANOS: _nanos,
    Form.BASE64: _base64,
    Form.GEO_POINT: _geo_point,
    Form.GEO_SHAPE: _geo_shape,
    Form.RANGE: _range,
    Form.IP: _ip,
    Form.IP_RANGE: _ip_range,
}
