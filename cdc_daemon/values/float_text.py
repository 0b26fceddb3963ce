"""Floats as PostgreSQL prints them: the shortest text that reads back, but for a halfway case."""

# ruff: noqa: PLR2004  the numbers of calendars and number formats have no better names

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction

_FLOAT4, _FLOAT8 = ("<f", "<I"), ("<d", "<Q")


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
