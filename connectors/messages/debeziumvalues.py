"""Values as Debezium's connectors write them -> JSON as PostgreSQL gives it (`to_jsonb`). Pure.

Numbers are `Digits`, as `read_json` has them. What a value means is said by the schema that comes
with the message; where none does, by the type of the column and how the connector is set.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal

from cdc_daemon.errors import RejectedError
from cdc_daemon.values import GivenError, civil_time, read_json
from cdc_daemon.values.float_text import format_float8
from cdc_daemon.values.given import Digits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.events import ColumnType

UNAVAILABLE: Final = "__debezium_unavailable_value"
"""Stands for a large value that an update has left as it was, where nobody configured another."""
EPOCH_DAYS: Final = 10_957
"""From 1970-01-01 to 2000-01-01."""
EPOCH: Final = EPOCH_DAYS * civil_time.DAY
_FOREVER: Final = 9_223_372_036_825_200_000
_NEVER: Final = -9_223_372_036_832_400_000
"""What the driver makes of `infinity` and `-infinity` of a timestamp, in its own unit: as far as
that goes, also in thousands of it."""
_ENDLESS_DAYS: Final = {
    -622_191_234: "infinity",
    -625_821_272: "-infinity",
    -2_147_472_692: "infinity",
    -2_147_472_691: "-infinity",
}
"""What Debezium makes of those of a date, in a snapshot and arrays, and in the stream: days from
before the first one of PostgreSQL."""
_ENDLESS_NANOSECONDS: Final = {2**63 - 1: "infinity", -(2**63): "-infinity"}
_ENDLESS_TEXTS: Final = {
    "-5877611-06-21": "infinity",
    "-5877611-06-22": "-infinity",
    "+294247-01-10T04:00:25.2": "infinity",
    "-290308-12-21T19:59:27.6": "-infinity",
}
"""The same moments as texts."""
_ENDLESS_YEARS: Final = {292_278_994: "infinity", 292_269_055: "-infinity"}
"""Those of the last and the first moment of Java."""
_FAR_YEAR: Final = re.compile(r"([+-]\d{4,9}|0000)(?=-)")
"""As ISO 8601 writes those beyond 9999, and those before 1: the year before that is 0."""
_SCALE_BITS: Final = 11
"""Of the modifier of a numeric. Debezium takes a scale below 0 for one of almost 2048."""
_HEADER: Final = 4
_MILLISECONDS_DIGITS: Final = 3

Schema = dict[str, Any]
"""As Kafka Connect writes one of a value."""


@dataclass(frozen=True, slots=True)
class Handling:
    """How the connector is set, where messages don't say it."""

    decimals: Literal["precise", "string"] = "precise"
    times: Literal["adaptive", "milliseconds", "microseconds", "nanoseconds"] = "adaptive"
    binary: Literal["base64", "hex"] = "base64"
    placeholder: str = UNAVAILABLE

    def is_unavailable(self, value: Any) -> bool:
        """Whether `value` stands for one that an update has left as it was."""
        if isinstance(value, Digits):
            return False
        if isinstance(value, str):
            return value in self._texts
        if isinstance(value, list) and len(value) == 1:
            return self.is_unavailable(value[0])
        return isinstance(value, dict) and {*value, *map(str, value.values())} == {self.placeholder}

    @property
    def _texts(self) -> set[str]:
        raw = self.placeholder.encode()
        return {self.placeholder, base64.b64encode(raw).decode(), raw.hex()}


def given(type_: ColumnType, value: Any, schema: Schema | None, handling: Handling) -> Any:
    """The value as `to_jsonb` has it. Raises GivenError where it is none of the type."""
    base = type_.base
    if value is None:
        return None
    if base.kind == "array" and base.element is not None and isinstance(value, list):
        items = None if schema is None else schema.get("items")
        element = base.element
        if element.modifier == -1:  # PostgreSQL says it of the array
            element = replace(element, modifier=max(type_.modifier, base.modifier))
        return [given(element, each, items, handling) for each in value]
    convert = _BY_NAME.get(base.name)
    if convert is None:
        return value
    modifier = base.modifier if type_.modifier == -1 else type_.modifier
    try:
        return convert(value, _Said(schema, handling, modifier))
    except (ValueError, KeyError, TypeError, ArithmeticError, RejectedError) as error:
        if isinstance(error, GivenError):
            raise
        raise GivenError(f"it can't be read as Debezium writes {base.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Said:
    """What is known of a value beside itself."""

    schema: Schema | None
    handling: Handling
    modifier: int

    @property
    def name(self) -> str:
        """What the schema calls the meaning: `io.debezium.time.Date`; empty where nothing does."""
        return "" if self.schema is None else str(self.schema.get("name") or "")

    def parameter(self, name: str) -> str | None:
        """One of the schema's."""
        found: Mapping[str, str] = (self.schema or {}).get("parameters") or {}
        return found.get(name)


def _numeric(value: Any, said: _Said) -> Any:
    if isinstance(value, dict):
        return _decimal(value["value"], int(value["scale"]))
    if isinstance(value, Digits) or value in {"NaN", "Infinity", "-Infinity"}:
        return value
    if value == "NAN":  # so it is as a text, where the column has a scale
        return "NaN"
    if said.schema is not None and said.name != "org.apache.kafka.connect.data.Decimal":
        return value
    if said.schema is None and said.handling.decimals == "string":
        return value
    scale = said.parameter("scale")
    return _decimal(value, _scale(said.modifier) if scale is None else int(scale))


def _scale(modifier: int) -> int:
    """Of a type such as numeric(8,2)."""
    if modifier == -1:
        raise GivenError("the column is declared without a scale: write numeric(precision, scale)")
    return (modifier - _HEADER) & ((1 << _SCALE_BITS) - 1)


def _decimal(unscaled: str, scale: int) -> str:
    """Digits as bytes, big endian, in two's complement."""
    number = int.from_bytes(base64.b64decode(unscaled, validate=True), signed=True)
    # Python writes no number of thousands of digits at once, and a Decimal takes each of them.
    digits = Decimal(number).as_tuple()
    return format(Decimal((digits.sign, digits.digits, -scale)), "f")


def _date(value: Any, said: _Said) -> Any:  # noqa: ARG001 - as all of them
    if not isinstance(value, Digits):
        return _without_zone(value)
    days = int(value)
    return _ENDLESS_DAYS.get(days) or civil_time.format_date(days - EPOCH_DAYS)


def _time(value: Any, said: _Said) -> Any:
    if not isinstance(value, Digits):
        return _without_zone(value)
    return civil_time.format_time(_microseconds(int(value), said, "Time"))


def _timestamp(value: Any, said: _Said) -> Any:
    if not isinstance(value, Digits):
        return _without_zone(value)
    number = int(value)
    if number in _ENDLESS_NANOSECONDS:
        return _ENDLESS_NANOSECONDS[number]
    for endless, word in ((_FOREVER, "infinity"), (_NEVER, "-infinity")):
        if number in {endless, endless // 1000, endless // 1_000_000}:
            return word
    return civil_time.format_timestamp(_microseconds(number, said, "Timestamp") - EPOCH)


def _microseconds(number: int, said: _Said, of: str) -> int:
    match _unit(said, of):
        case "milliseconds":
            return number * 1000
        case "nanoseconds":
            return number // 1000
        case _:
            return number


def _unit(said: _Said, of: str) -> str:
    if said.name:
        short = said.name.rpartition(".")[2]
        units = {f"Micro{of}": "microseconds", f"Nano{of}": "nanoseconds"}
        return units.get(short, "milliseconds")
    if said.handling.times == "adaptive":
        exact = said.modifier == -1 or said.modifier > _MILLISECONDS_DIGITS
        return "microseconds" if exact else "milliseconds"
    return said.handling.times


def _timestamptz(value: Any, said: _Said) -> Any:
    if isinstance(value, Digits):
        return f"{_timestamp(value, said)}+00"
    return _as_postgres(value) if isinstance(value, str) else value


def _as_postgres(value: str) -> str:
    """A text of ISO 8601 with PostgreSQL's years: they have no sign, and BC comes last."""
    found = _FAR_YEAR.match(value)
    if found is None:
        return value
    year, rest = int(found[0]), value[found.end() :]
    if abs(year) in _ENDLESS_YEARS:
        return _ENDLESS_YEARS[abs(year)]
    return f"{year:04d}{rest}" if year > 0 else f"{1 - year:04d}{rest} BC"


def _timetz(value: Any, said: _Said) -> Any:  # noqa: ARG001 - as all of them
    return re.sub("Z$", "+00", value) if isinstance(value, str) else value


def _without_zone(value: Any) -> Any:
    """Of the mode `isostring`: it writes Z behind times that have no zone."""
    if not isinstance(value, str):
        return value
    text = value.removesuffix("Z")
    return _ENDLESS_TEXTS.get(text) or _as_postgres(text)


def _interval(value: Any, said: _Said) -> Any:
    if not isinstance(value, Digits):
        return value
    nanoseconds = said.name.endswith("NanoDuration")
    return civil_time.format_interval(
        civil_time.Interval(0, 0, int(value) // (1000 if nanoseconds else 1))
    )


def _bytea(value: Any, said: _Said) -> Any:
    if not isinstance(value, str):
        return value
    as_text = said.schema is not None and said.schema.get("type") == "string"
    if (said.schema is None and said.handling.binary == "hex") or (as_text and _is_hex(value)):
        return f"\\x{value}"
    try:
        return f"\\x{base64.b64decode(value.translate(_URL_SAFE), validate=True).hex()}"
    except binascii.Error as error:
        raise GivenError(f"it is no base64: {error}") from error


def _is_hex(value: str) -> bool:
    return re.fullmatch("([0-9a-f]{2})*", value) is not None


def _bit(value: Any, said: _Said) -> Any:
    if isinstance(value, bool):
        return "1" if value else "0"
    length = said.parameter("length") or (said.modifier if said.modifier != -1 else None)
    if length is None:
        raise GivenError("the column is declared without a length: write bit(length)")
    number = int.from_bytes(base64.b64decode(value, validate=True), "little")
    return format(number, f"0{int(length)}b")


def _jsonb(value: Any, said: _Said) -> Any:  # noqa: ARG001 - as all of them
    """A text of JSON."""
    if not isinstance(value, str) or isinstance(value, Digits):
        return value
    return read_json(value.encode())


def _point(value: Any, said: _Said) -> Any:  # noqa: ARG001 - as all of them
    return f"({_short(value['x'])},{_short(value['y'])})" if isinstance(value, dict) else value


def _short(number: Any) -> str:
    """As PostgreSQL prints a float."""
    return format_float8(float(number))


def _hstore(value: Any, said: _Said) -> Any:
    """A text of JSON, or an object."""
    return _jsonb(value, said)


_URL_SAFE: Final = str.maketrans("-_", "+/")
_BY_NAME: Final[dict[str, Callable[[Any, _Said], Any]]] = {
    "numeric": _numeric,
    "date": _date,
    "time": _time,
    "timetz": _timetz,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "interval": _interval,
    "bytea": _bytea,
    "bit": _bit,
    "json": _jsonb,
    "jsonb": _jsonb,
    "hstore": _hstore,
    "point": _point,
}
"""How the values of a type are read; those of others are what they are."""
