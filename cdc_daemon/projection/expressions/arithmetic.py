"""Arithmetic as PostgreSQL does it: integer ranges, scales of numeric, IEEE floats."""

# ruff: noqa: PLR2004  the ends of integer ranges are written out: this is the hot path

from __future__ import annotations

import math
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
)
from typing import TYPE_CHECKING, Final

from cdc_daemon.values.civil_time import reject
from cdc_daemon.values.float_text import to_float4

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT: Final = Context(prec=200_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""More digits than a numeric can have: sums, products and rounding are never cut."""

RANGES: Final = {"int2": 1 << 15, "int4": 1 << 31, "int8": 1 << 63}
_NAMES: Final = {"int2": "smallint", "int4": "integer", "int8": "bigint"}
_MOST_DIGITS: Final = 131_072
_DEEPEST_SCALE: Final = 16_383
_DISPLAY_SCALE: Final = 1000
ZERO: Final = Decimal(0)


def out_of_range(kind: str) -> None:
    """Reject: the result doesn't fit."""
    reject("numeric_value_out_of_range", f"{_NAMES.get(kind, kind)} out of range")


def divided_by_zero() -> None:
    """Reject: PostgreSQL has no infinity there."""
    reject("division_by_zero", "division by zero")


def fit_int2(value: int) -> int:
    """The value, if int2 can hold it."""
    if not -32_768 <= value <= 32_767:
        out_of_range("int2")
    return value


def fit_int4(value: int) -> int:
    """The value, if int4 can hold it."""
    if not -2_147_483_648 <= value <= 2_147_483_647:
        out_of_range("int4")
    return value


def fit_int8(value: int) -> int:
    """The value, if int8 can hold it."""
    if not -9_223_372_036_854_775_808 <= value <= 9_223_372_036_854_775_807:
        out_of_range("int8")
    return value


FIT: Final[dict[str, Callable[[int], int]]] = {"int2": fit_int2, "int4": fit_int4, "int8": fit_int8}


def int_divide(left: int, right: int) -> int:
    """Division that truncates toward zero."""
    if right == 0:
        divided_by_zero()
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def int_modulo(left: int, right: int) -> int:
    """The rest, with the sign of the dividend."""
    if right == 0:
        divided_by_zero()
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


# --- numeric


def scale_of(value: Decimal) -> int:
    """Digits after the point."""
    return -int(value.as_tuple().exponent)


def fit_numeric(value: Decimal) -> Decimal:
    """The value, if it has no more digits than numeric allows; never a negative zero."""
    if value and value.adjusted() >= _MOST_DIGITS:
        reject("numeric_value_out_of_range", "value overflows numeric format")
    return value or value.copy_abs()


def rescale(value: Decimal, scale: int, rounding: str = ROUND_HALF_UP) -> Decimal:
    """Exactly `scale` digits after the point; half is rounded away from zero."""
    return fit_numeric(value.quantize(Decimal((0, (1,), -scale)), rounding, EXACT))


def add(left: Decimal, right: Decimal) -> Decimal:
    """Sum; the larger scale."""
    return fit_numeric(EXACT.add(left, right))


def subtract(left: Decimal, right: Decimal) -> Decimal:
    """Difference; the larger scale."""
    return fit_numeric(EXACT.subtract(left, right))


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """Product; the scales added up."""
    product = fit_numeric(EXACT.multiply(left, right))
    return product if scale_of(product) <= _DEEPEST_SCALE else rescale(product, _DEEPEST_SCALE)


def _weight_and_first_digit(value: Decimal) -> tuple[int, int]:
    """The first digit to base 10,000 that is not zero, and its power."""
    if not value:
        return 0, 0
    weight = value.adjusted() // 4
    return weight, int(EXACT.scaleb(value.copy_abs(), -4 * weight))


def division_scale(left: Decimal, right: Decimal) -> int:
    """Digits after the point of a quotient: at least 16 significant ones, by PostgreSQL's rule."""
    weight, first = _weight_and_first_digit(left)
    divisor_weight, divisor_first = _weight_and_first_digit(right)
    quotient_weight = weight - divisor_weight - (first <= divisor_first)
    scale = max(16 - quotient_weight * 4, scale_of(left), scale_of(right), 0)
    return min(scale, _DISPLAY_SCALE)


def divide(left: Decimal, right: Decimal) -> Decimal:
    """Quotient, rounded half away from zero at PostgreSQL's scale."""
    if not right:
        divided_by_zero()
    scale = division_scale(left, right)
    shifted = EXACT.scaleb(left, scale)
    quotient, rest = EXACT.divmod(shifted, right)
    if EXACT.add(rest, rest).copy_abs() >= right.copy_abs():
        step = -1 if left.is_signed() != right.is_signed() else 1
        quotient = EXACT.add(quotient, Decimal(step))
    return fit_numeric(EXACT.scaleb(_whole(quotient), -scale))


def _whole(value: Decimal) -> Decimal:
    """The same whole number without an exponent."""
    return value if value.as_tuple().exponent == 0 else value.quantize(Decimal(1), context=EXACT)


def whole_divide(left: Decimal, right: Decimal) -> Decimal:
    """`div`: quotient truncated toward zero."""
    if not right:
        divided_by_zero()
    return fit_numeric(_whole(EXACT.divide_int(left, right)))


def modulo(left: Decimal, right: Decimal) -> Decimal:
    """The rest, with the sign of the dividend and the larger scale."""
    return subtract(left, EXACT.multiply(whole_divide(left, right), right))


def negate(value: Decimal) -> Decimal:
    """The opposite; zero has no sign."""
    return value.copy_negate() if value else value


def round_half_up(value: Decimal, digits: int = 0) -> Decimal:
    """`round`: half away from zero; negative `digits` round before the point."""
    return _at_place(value, digits, ROUND_HALF_UP)


def truncate(value: Decimal, digits: int = 0) -> Decimal:
    """`trunc`: toward zero."""
    return _at_place(value, digits, ROUND_DOWN)


def _at_place(value: Decimal, digits: int, rounding: str) -> Decimal:
    digits = min(max(digits, -_MOST_DIGITS), _DEEPEST_SCALE)
    placed = value.quantize(Decimal((0, (1,), -digits)), rounding, EXACT)
    return fit_numeric(placed if digits >= 0 else placed.quantize(Decimal(1), ROUND_DOWN, EXACT))


def ceiling(value: Decimal) -> Decimal:
    """The next whole number up."""
    return rescale(value, 0, ROUND_CEILING)


def floor(value: Decimal) -> Decimal:
    """The next whole number down."""
    return rescale(value, 0, ROUND_FLOOR)


def sign(value: Decimal) -> Decimal:
    """-1, 0 or 1."""
    return Decimal((value > 0) - (value < 0))


def fit_precision(value: Decimal, precision: int, scale: int) -> Decimal:
    """`numeric(precision, scale)`: rounded; rejected if what is before the point is too long."""
    rounded = _at_place(value, scale, ROUND_HALF_UP)
    if rounded and rounded.adjusted() >= precision - scale:
        reject(
            "numeric_value_out_of_range",
            f"numeric field overflow: precision {precision}, scale {scale}",
        )
    return rounded


# --- floats


def checked(result: float, left: float, right: float) -> float:
    """The result, unless it became infinite out of finite operands."""
    if math.isinf(result) and not math.isinf(left) and not math.isinf(right):
        reject("numeric_value_out_of_range", "value out of range: overflow")
    return result


def float_add(left: float, right: float) -> float:
    """Sum of float8."""
    return checked(left + right, left, right)


def float_subtract(left: float, right: float) -> float:
    """Difference of float8."""
    return checked(left - right, left, right)


def float_multiply(left: float, right: float) -> float:
    """Product of float8."""
    result = checked(left * right, left, right)
    if result == 0 and left != 0 and right != 0:
        reject("numeric_value_out_of_range", "value out of range: underflow")
    return result


def float_divide(left: float, right: float) -> float:
    """Quotient of float8."""
    if right == 0:
        divided_by_zero()
    result = checked(left / right, left, right)
    if result == 0 and left != 0 and not math.isinf(right):
        reject("numeric_value_out_of_range", "value out of range: underflow")
    return result


def float4_of(result: float, *, from_zero: bool = False) -> float:
    """Round a float8 to float4; rejected where only zero or infinity would be left."""
    try:
        small = to_float4(result)
    except OverflowError:
        small = math.inf
    if math.isinf(small) and not math.isinf(result):
        reject("numeric_value_out_of_range", "value out of range: overflow")
    if small == 0 and result != 0 and not from_zero:
        reject("numeric_value_out_of_range", "value out of range: underflow")
    return small


def float4_add(left: float, right: float) -> float:
    """Sum of float4."""
    return float4_of(float_add(left, right), from_zero=True)


def float4_subtract(left: float, right: float) -> float:
    """Difference of float4."""
    return float4_of(float_subtract(left, right), from_zero=True)


def float4_multiply(left: float, right: float) -> float:
    """Product of float4."""
    return float4_of(float_multiply(left, right))


def float4_divide(left: float, right: float) -> float:
    """Quotient of float4."""
    return float4_of(float_divide(left, right))


def power(base: float, exponent: float) -> float:
    """`power` of float8."""
    if base == 0 and exponent < 0:
        reject(
            "invalid_argument_for_power_function", "zero raised to a negative power is undefined"
        )
    if base < 0 and exponent != math.floor(exponent):
        reject(
            "invalid_argument_for_power_function",
            "a negative number raised to a non-integer power yields a complex result",
        )
    try:
        result = math.pow(base, exponent)
    except OverflowError:
        reject("numeric_value_out_of_range", "value out of range: overflow")
    if result == 0 and base != 0:
        reject("numeric_value_out_of_range", "value out of range: underflow")
    return result


def square_root(value: float) -> float:
    """`sqrt` of float8."""
    if value < 0:
        reject(
            "invalid_argument_for_power_function", "cannot take square root of a negative number"
        )
    return math.sqrt(value)


def float_round(value: float) -> float:
    """Half to even, keeping the sign of zero."""
    return math.copysign(float(round(value)), value) if math.isfinite(value) else value


def float_truncate(value: float) -> float:
    """Toward zero, keeping the sign of zero."""
    return math.copysign(float(math.trunc(value)), value) if math.isfinite(value) else value


def float_ceiling(value: float) -> float:
    """Up, keeping the sign of zero."""
    return math.copysign(float(math.ceil(value)), value) if math.isfinite(value) else value


def float_floor(value: float) -> float:
    """Down, keeping the sign of zero."""
    return math.copysign(float(math.floor(value)), value) if math.isfinite(value) else value


def float_sign(value: float) -> float:
    """-1, 0 or 1."""
    return float((value > 0) - (value < 0))
