"""Values that somebody gives as JSON -> the text that PostgreSQL would print, by column type. Pure.

The JSON is that of `to_jsonb`: numbers, strings, true and false, arrays, objects for composites. So
what the stream brings of the same row later is the same text, byte for byte, but where a type has
several texts for one value and none is its own (json, ranges, addresses): those are passed on.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from cdc_daemon.errors import RejectedError
from cdc_daemon.values import civil_time
from cdc_daemon.values.float_text import format_float4, format_float8, to_float4
from cdc_daemon.values.scalars import SCALARS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import ColumnType

_RANGES: Final = {"int2": 1 << 15, "int4": 1 << 31, "int8": 1 << 63}
_INTEGER: Final = re.compile(r"-?[0-9]+", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_ENDLESS: Final = frozenset({"infinity", "-infinity"})
_ZONE: Final = re.compile(r"(Z|[+-]\d{2}(:?\d{2}){0,2})( BC)?\s*$", re.ASCII | re.IGNORECASE)
_HEXADECIMAL: Final = re.compile(r"\\x([0-9a-fA-F]{2})*", re.ASCII)
_TO_ESCAPE: Final = re.compile(r'["\\]')
_UNSAFE: Final = re.compile(r'["\\\x00-\x1f]')
_LARGEST_EXPONENT: Final = 131_072
"""Digits before the point of a numeric; 16,383 may come after it."""
_MOST_DECIMALS: Final = 16_383
_JSON: Final = frozenset({"json", "jsonb"})
_VECTORS: Final = frozenset({"vector", "halfvec"})
_LONGEST_SHOWN: Final = 40
_LONGEST_INTEGER: Final = 20
_HEADER: Final = 4
"""What a modifier counts besides: the length of a header."""
_SCALE_BITS: Final = 11
_PRECISION_AT: Final = 16


class Digits(str):
    """A number as the JSON has it, with every digit."""

    __slots__ = ()


class GivenError(ValueError):
    """The value is none of its type. The message says what it should be, and what was found."""


def read_json(text: bytes) -> Any:
    """JSON with its numbers as `Digits`. Raises ValueError."""
    try:
        return json.loads(text, parse_float=Digits, parse_int=Digits, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def source_text(type: ColumnType, value: Any) -> bytes:  # noqa: A002 - as json_encoder has it
    """The text of a value that isn't null. Raises GivenError."""
    return _text(type, value).encode()


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON: write it as a string")


def _text(type_: ColumnType, value: Any) -> str:
    base = type_.base
    match base.kind:
        case "array" if base.element is not None:
            return _array(base, base.element, value)
        case "composite":
            return _composite(base, value)
        case "enum":
            return _label(base, value)
        case "base":
            return _base(type_, base)(value)
        case _:
            return _string(value)


def _base(type_: ColumnType, base: ColumnType) -> Callable[[Any], str]:
    name = base.name
    modifier = base.modifier if type_.modifier == -1 else type_.modifier
    if name in _RANGES:
        return lambda value: _integer(value, _RANGES[name])
    if name == "numeric":
        return lambda value: _numeric(value, modifier)
    if name in {"varchar", "bpchar"}:
        return lambda value: _characters(value, modifier, padded=name == "bpchar")
    if name in _BY_NAME:
        return _BY_NAME[name]
    # What is printed without anything to escape is encoded without looking for it.
    return _plain if name in SCALARS else _string


def _found(value: Any) -> str:
    shown = value if isinstance(value, Digits) else json.dumps(value, ensure_ascii=False)
    return f"found {shown[:_LONGEST_SHOWN]}"


def _string(value: Any) -> str:
    if type(value) is not str:
        raise GivenError(f"expected a string, {_found(value)}")
    if "\0" in value:
        raise GivenError("a text of PostgreSQL can't hold the character U+0000")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GivenError("the string holds half a surrogate pair, which is no character") from error
    return value


def _plain(value: Any) -> str:
    if type(value) is str and _UNSAFE.search(value):
        raise GivenError(f"expected the text that PostgreSQL prints, {_found(value)}")
    return str(value) if isinstance(value, Digits) else _string(value)


def _characters(value: Any, modifier: int, *, padded: bool) -> str:
    text, most = _string(value), modifier - _HEADER
    if modifier == -1:
        return text
    if len(text) > most:
        raise GivenError(f"expected at most {most} characters, found {len(text)}")
    return text.ljust(most) if padded else text


def _integer(value: Any, end: int) -> str:
    if not isinstance(value, Digits) or not _INTEGER.fullmatch(value):
        raise GivenError(f"expected a whole number, {_found(value)}")
    # Of thousands of digits Python makes no number.
    if len(value) > _LONGEST_INTEGER or not -end <= int(value) < end:
        raise GivenError(f"expected a number from {-end} to {end - 1}, {_found(value)}")
    return str(int(value))


def _number(value: Any) -> str:
    """Digits, or a string of them, for who has no exact numbers; or no number at all."""
    if isinstance(value, str) and (value in _NOT_FINITE or _NUMBER.fullmatch(value)):
        return str(value)
    raise GivenError(f"expected a number, or a string of its digits, {_found(value)}")


def _numeric(value: Any, modifier: int) -> str:
    text = _number(value)
    if text in _NOT_FINITE:
        return text
    try:
        number = Decimal(text)
    except ArithmeticError as error:  # its exponent has dozens of digits
        raise GivenError(f"expected a number that numeric can hold, {_found(value)}") from error
    exponent = int(number.as_tuple().exponent)
    if number.adjusted() > _LARGEST_EXPONENT or -exponent > _MOST_DECIMALS:
        raise GivenError(f"expected a number that numeric can hold, {_found(value)}")
    if modifier != -1:
        number = _in_places(number, modifier - _HEADER)
    shown = format(number, "f")
    return shown.removeprefix("-") if not number else shown


def _in_places(number: Decimal, modifier: int) -> Decimal:
    """With the places of `numeric(precision, scale)`: what PostgreSQL would round is refused."""
    sign = 1 << (_SCALE_BITS - 1)
    scale = ((modifier & ((1 << _SCALE_BITS) - 1)) ^ sign) - sign
    precision = modifier >> _PRECISION_AT
    if number.adjusted() >= precision - scale and number:
        raise GivenError(f"expected a number that fits numeric({precision}, {scale})")
    sign_, digits, exponent = number.as_tuple()
    missing = int(exponent) + scale
    if missing < 0 and any(digits[missing:]):
        raise GivenError(f"expected at most {scale} decimal places: PostgreSQL would round it")
    kept = (*digits, *(0,) * missing) if missing >= 0 else digits[:missing] or (0,)
    return Decimal((sign_, kept, -scale))


def _float(value: Any, format_: Callable[[float], str], narrow: Callable[[float], float]) -> str:
    text = _number(value)
    if text in _NOT_FINITE:
        return text
    number = float(text)
    try:
        narrowed = narrow(number)
    except OverflowError as error:
        raise GivenError(f"expected a number that fits, {_found(value)}") from error
    if narrowed - narrowed != 0:
        raise GivenError(f"expected a number that fits, {_found(value)}")
    return format_(narrowed)


def _boolean(value: Any) -> str:
    if not isinstance(value, bool):
        raise GivenError(f"expected true or false, {_found(value)}")
    return "t" if value else "f"


def _time_of(parse: Callable[[str], Any], format_: Callable[[Any], str], example: str) -> Any:
    def read(value: Any) -> str:
        try:
            return format_(parse(_string(value)))
        except RejectedError as error:
            raise GivenError(f"expected such as {example}, {_found(value)}") from error

    return read


def _timestamp(value: Any) -> str:
    if _ZONE.search(_string(value)):
        raise GivenError(f"expected a time without a zone, {_found(value)}")
    return civil_time.format_timestamp(civil_time.parse_timestamp(value))


def _timestamptz(value: Any) -> str:
    if not _ZONE.search(_string(value)) and "infinity" not in value.lower():
        raise GivenError(f"expected a time with its zone, such as +00:00, {_found(value)}")
    return civil_time.format_timestamp(civil_time.parse_timestamptz(value), zone="+00")


def _interval(value: Any) -> str:
    text = _string(value)
    if text in _ENDLESS:
        return text
    return civil_time.format_interval(civil_time.parse_interval(text))


def _uuid(value: Any) -> str:
    try:
        return str(UUID(_string(value)))
    except ValueError as error:
        raise GivenError(f"expected a UUID, {_found(value)}") from error


def _bytea(value: Any) -> str:
    if not _HEXADECIMAL.fullmatch(_string(value)):
        raise GivenError(f"expected hexadecimal digits such as \\x00ff, {_found(value)}")
    return str(value).lower()


def _json(value: Any) -> str:
    """As PostgreSQL prints jsonb: keys by length, then bytewise; numbers without exponents."""
    if isinstance(value, Digits):
        return _numeric(value, -1)
    if isinstance(value, list):
        return f"[{', '.join(map(_json, value))}]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(_string(key).encode()), key.encode()))
        pairs = ", ".join(f"{_json(key)}: {_json(value[key])}" for key in keys)
        return f"{{{pairs}}}"
    return json.dumps(
        value if value is None or value is True or value is False else _string(value),
        ensure_ascii=False,
    )


def _label(base: ColumnType, value: Any) -> str:
    if value not in base.labels:
        raise GivenError(f"expected one of {', '.join(base.labels)}; {_found(value)}")
    return str(value)


def _array(base: ColumnType, element: ColumnType, value: Any) -> str:
    if not isinstance(value, list):
        raise GivenError(f"expected an array, {_found(value)}")
    parts = [
        _array(base, element, each)
        if isinstance(each, list) and not _is_value(element, each)
        else _element(element, each)
        for each in value
    ]
    return f"{{{base.delimiter.join(parts)}}}"


def _is_value(element: ColumnType, value: list[Any]) -> bool:
    """Whether a list in a list is a value, and no further dimension."""
    base = element.base
    if base.kind == "base" and base.name in _VECTORS:
        return all(isinstance(each, Digits) for each in value)
    return base.kind == "array" or (base.kind == "base" and base.name in _JSON)


def _element(element: ColumnType, value: Any) -> str:
    if value is None:
        return "NULL"
    text = _text(element, value)
    return text if isinstance(value, Digits) else _quoted(text)


def _composite(base: ColumnType, value: Any) -> str:
    names = [name for name, _ in base.attributes]
    if not isinstance(value, dict) or set(value) != set(names):
        raise GivenError(f"expected an object with {', '.join(names)}; {_found(value)}")
    given = [(type_, value[name]) for name, type_ in base.attributes]
    parts = ["" if each is None else _quoted(_text(type_, each)) for type_, each in given]
    return f"({','.join(parts)})"


def _hstore(value: Any) -> str:
    if not isinstance(value, dict):
        raise GivenError(f"expected an object of strings, {_found(value)}")
    pairs = {
        _quoted(_string(key)): "NULL" if each is None else _quoted(_string(each))
        for key, each in value.items()
    }
    return ", ".join(f"{key}=>{each}" for key, each in pairs.items())


def _vector(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, Digits):
        return _plain(value)
    if not isinstance(value, list) or not all(isinstance(each, Digits) for each in value):
        raise GivenError(f"expected an array of numbers, {_found(value)}")
    return f"[{','.join(_float(each, format_float4, to_float4) for each in value)}]"


def _quoted(text: str) -> str:
    escaped = _TO_ESCAPE.sub(r"\\\g<0>", text)
    return f'"{escaped}"'


def _as_it_is(number: float) -> float:
    return number


_BY_NAME: Final[dict[str, Callable[[Any], str]]] = {
    "bool": _boolean,
    "float4": lambda value: _float(value, format_float4, to_float4),
    "float8": lambda value: _float(value, format_float8, _as_it_is),
    "date": _time_of(civil_time.parse_date, civil_time.format_date, "2026-05-01"),
    "time": _time_of(civil_time.parse_time, civil_time.format_time, "12:34:56.789"),
    "timestamp": _time_of(lambda text: text, _timestamp, "2026-05-01T12:34:56.789"),
    "timestamptz": _time_of(lambda text: text, _timestamptz, "2026-05-01T12:34:56.789+00:00"),
    "interval": _time_of(lambda text: text, _interval, "P1DT2H"),
    "uuid": _uuid,
    "bytea": _bytea,
    "json": _json,
    "jsonb": _json,
    "hstore": _hstore,
    "vector": _vector,
    "halfvec": _vector,
}
