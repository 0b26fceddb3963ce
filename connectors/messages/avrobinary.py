"""Avro's binary encoding, one value after the other, as JSON has them. Pure.

Numbers are `Digits`, bytes are base64: as `read_json` would give what JsonConverter has written.
"""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.values.float_text import format_float4, format_float8
from cdc_daemon.values.given import Digits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BITS: Final = 7
"""Of a number in each byte; the eighth says that there is another one."""
_MORE: Final = 0x80
_LONGEST_BITS: Final = 63


class AvroError(ValueError):
    """It is no such value, or no schema."""


class Encoded:
    """Some bytes, and how far they are read."""

    __slots__ = ("_at", "_octets")

    def __init__(self, octets: bytes, at: int = 0) -> None:
        self._octets = octets
        self._at = at

    @property
    def left(self) -> int:
        """How many bytes aren't read."""
        return len(self._octets) - self._at

    def take(self, count: int) -> bytes:
        """The next ones. Raises AvroError."""
        if not 0 <= count <= self.left:
            raise AvroError("it ends in the middle of a value")
        begin, self._at = self._at, self._at + count
        return self._octets[begin : self._at]

    def whole(self) -> int:
        """A number: little ones take one byte, of either sign. Raises AvroError."""
        number = bits = 0
        while True:
            (octet,) = self.take(1)
            number |= (octet & (_MORE - 1)) << bits
            if octet < _MORE:
                return (number >> 1) ^ -(number & 1)
            bits += _BITS
            if bits > _LONGEST_BITS:
                raise AvroError("it has a number of more than 64 bits")


def items(encoded: Encoded, read: Callable[[Encoded], Any]) -> list[Any]:
    """Those of an array or a map: blocks, until one has none. Raises AvroError."""
    found: list[Any] = []
    while count := encoded.whole():
        if count < 0:
            encoded.whole()  # how many bytes they have
        if abs(count) > encoded.left:  # none has less than a byte
            raise AvroError("it says that it has more items than there is room for")
        found += [read(encoded) for _ in range(abs(count))]
    return found


def sized(encoded: Encoded) -> bytes:
    """Bytes, after how many they are."""
    return encoded.take(encoded.whole())


def base64_text(octets: bytes) -> str:
    """As JSON has bytes."""
    return base64.b64encode(octets).decode()


def text(encoded: Encoded) -> str:
    """Characters. Raises AvroError."""
    try:
        return sized(encoded).decode()
    except UnicodeDecodeError as error:
        raise AvroError(f"it has a text that is no UTF-8: {error}") from error


def _boolean(encoded: Encoded) -> bool:
    return encoded.take(1) != b"\0"


def _float(encoded: Encoded) -> str:
    return _number(format_float4(struct.unpack("<f", encoded.take(4))[0]))


def _double(encoded: Encoded) -> str:
    return _number(format_float8(struct.unpack("<d", encoded.take(8))[0]))


def _number(shown: str) -> str:
    """What isn't finite is a word."""
    return Digits(shown) if shown[-1].isdigit() else shown


PRIMITIVES: Final[Mapping[str, tuple[str, Callable[[Encoded], Any]]]] = {
    "null": ("", lambda _: None),
    "boolean": ("boolean", _boolean),
    "int": ("int32", lambda encoded: Digits(encoded.whole())),
    "long": ("int64", lambda encoded: Digits(encoded.whole())),
    "float": ("float", _float),
    "double": ("double", _double),
    "bytes": ("bytes", lambda encoded: base64_text(sized(encoded))),
    "string": ("string", text),
}
"""Of each of Avro's names: what Kafka Connect calls it, and how a value is read."""
