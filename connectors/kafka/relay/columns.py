"""What each column is in Debezium's messages: its Connect schema, and how values are written. Pure.

Debezium leaves out columns of types that it doesn't know; here they are strings, as PostgreSQL
writes them.
"""

from __future__ import annotations

import re
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

import orjson

from connectors.kafka.relay import conversions as to
from connectors.kafka.relay.schemas import ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.events import Column, ColumnType
    from cdc_daemon.values import Encoder

DecimalMode: TypeAlias = Literal["precise", "string", "double"]
IntervalMode: TypeAlias = Literal["numeric", "string"]

NOT_SENT: Final = "__debezium_unavailable_value"
"""What Debezium writes in place of a value that is stored out of line and didn't change."""

_MODIFIER_HEADER: Final = 4
_PRECISION_SHIFT: Final = 16
_SCALE_BITS: Final = 0x7FF
_SCALE_SIGN: Final = 0x400
_MONEY_SCALE: Final = 2
_MOST_DIGITS: Final = 6
"""Of a second, where the type says nothing."""
_MILLISECOND_DIGITS: Final = 3
_UNBOUNDED_BITS: Final = 2**31 - 1
_JSON_TYPES: Final = frozenset({"json", "jsonb"})


class Modes(NamedTuple):
    """How types are written of which Debezium has several forms, by its own names for them."""

    decimal: DecimalMode = "precise"
    interval: IntervalMode = "numeric"


class Kind(NamedTuple):
    """What all columns of one type have in common."""

    schema: Mapping[str, Any]
    """As Connect writes it, but for what is the column's own: `optional` and `field`."""
    convert: Encoder | None = None
    """From our JSON text; None where it is the same."""
    special: Encoder | None = None
    """From the exact text of a `Special` value; None where `convert` does it."""
    zero: bytes = b'""'
    """Stands for the null of a column that is never null: old rows lack what isn't in the key."""
    not_sent: bytes = orjson.dumps(NOT_SENT)
    """Stands for a value that wasn't sent."""


def kind_of(column: Column, modes: Modes) -> Kind:
    """What the values of a column are."""
    return _kind(column.type, modes)


def _kind(type: ColumnType, modes: Modes) -> Kind:  # noqa: A002 - what it is
    base = type.base
    if base.kind == "array" and base.element is not None:
        return _array(_kind(base.element, modes), base.element)
    if base.kind == "enum":
        return _named("string", "io.debezium.data.Enum", allowed=",".join(base.labels))
    if base.kind == "base" and base.name in _BY_MODIFIER:
        return _BY_MODIFIER[base.name](_modifier(type), modes)
    if base.kind == "base":
        return _PLAIN.get(base.name, _TEXT)
    return _OBJECT if base.kind == "composite" else _TEXT


def _modifier(type: ColumnType) -> int:  # noqa: A002 - what it is
    """That of the column, or of the domain nearest to the base type that has one."""
    here = type
    while here.modifier == -1 and here.kind == "domain" and here.element is not None:
        here = here.element
    return here.modifier


def _named(type: str, name: str, **parameters: str) -> Kind:  # noqa: A002 - as Connect calls it
    return Kind(_schema(type, name, **parameters))


def _schema(type: str, name: str, **parameters: str) -> dict[str, Any]:  # noqa: A002 - as above
    schema: dict[str, Any] = {"type": type, "name": name, "version": 1}
    return schema | ({"parameters": parameters} if parameters else {})


def _array(of: Kind, element: ColumnType) -> Kind:
    schema = {"type": "array", "items": ordered(of.schema, optional=True)}
    # An element that is JSON may look like a dimension: there is but one, as to Debezium.
    each = to.each_flat if element.base.name in _JSON_TYPES else to.each
    convert = None if of.convert is None else each(of.convert)
    special = of.special or of.convert
    return Kind(
        schema,
        to.number_list if element.base.name == "oid" else convert,
        None if special is None else each(_exactly(special, of.convert)),
        b"[]",
        _unsent_array(of, element),
    )


def _exactly(special: Encoder, convert: Encoder | None) -> Encoder:
    """An array with one special element has others that are none: both know them exactly."""
    return special if convert is None or special is not convert else convert


def _unsent_array(of: Kind, element: ColumnType) -> bytes:
    """Integers spell the placeholder, a uuid is its digest: as Debezium does."""
    if element.base.name in {"int2", "int4", "int8", "oid"}:
        return orjson.dumps(list(NOT_SENT.encode()))
    if element.base.name == "uuid":
        digest = md5(NOT_SENT.encode(), usedforsecurity=False).digest()
        return orjson.dumps([str(UUID(bytes=digest, version=3))])
    return b"[%b]" % of.not_sent


def _numeric(modifier: int, modes: Modes) -> Kind:
    if modes.decimal == "string":
        return Kind({"type": "string"}, to.quoted, to.decimal_text, b'"0"')
    if modes.decimal == "double":
        return Kind({"type": "double"}, None, to.same, b"0.0")
    not_sent = to.base64(NOT_SENT.encode())
    if modifier < _MODIFIER_HEADER:
        schema = {
            "type": "struct",
            "fields": [
                {"type": "int32", "optional": False, "field": "scale"},
                {"type": "bytes", "optional": False, "field": "value"},
            ],
            "name": "io.debezium.data.VariableScaleDecimal",
            "version": 1,
            "doc": "Variable scaled decimal",
        }
        convert = to.variable_decimal
        zero = b'{"scale":0,"value":"AA=="}'
        return Kind(schema, convert, to.exact_decimal(convert), zero, not_sent)
    precision = (modifier - _MODIFIER_HEADER) >> _PRECISION_SHIFT & 0xFFFF
    scale = ((modifier - _MODIFIER_HEADER & _SCALE_BITS) ^ _SCALE_SIGN) - _SCALE_SIGN
    decimal = to.decimal(max(scale, 0))
    return Kind(
        _decimal_schema(scale, precision), decimal, to.exact_decimal(decimal), b'"AA=="', not_sent
    )


def _decimal_schema(scale: int, precision: int | None = None) -> dict[str, Any]:
    parameters = {"scale": str(scale)}
    if precision is not None:
        parameters["connect.decimal.precision"] = str(precision)
    return _schema("bytes", "org.apache.kafka.connect.data.Decimal") | {"parameters": parameters}


def _money(_: int, modes: Modes) -> Kind:
    if modes.decimal == "string":
        return Kind({"type": "string"}, to.money_text, zero=b'"0.00"')
    if modes.decimal == "double":
        return Kind({"type": "double"}, to.money_double, zero=b"0.0")
    return Kind(_decimal_schema(_MONEY_SCALE), to.money, zero=b'"AA=="')


def _interval(_: int, modes: Modes) -> Kind:
    if modes.interval == "string":
        schema = _schema("string", "io.debezium.time.Interval")
        return Kind(schema, to.interval_text, zero=b'"P0Y0M0DT0H0M0S"')
    schema = _schema("int64", "io.debezium.time.MicroDuration")
    return Kind(schema, to.interval_microseconds, zero=b"0")


def _digits(modifier: int) -> int:
    return _MOST_DIGITS if modifier < 0 else modifier


def _timestamp(modifier: int, _: Modes) -> Kind:
    if _digits(modifier) <= _MILLISECOND_DIGITS:
        schema = _schema("int64", "io.debezium.time.Timestamp")
        return Kind(schema, to.milliseconds, to.far_milliseconds, b"0")
    schema = _schema("int64", "io.debezium.time.MicroTimestamp")
    return Kind(schema, to.microseconds, to.far_microseconds, b"0")


def _zoned_timestamp(modifier: int, _: Modes) -> Kind:
    digits = _digits(modifier)
    schema = _schema("string", "io.debezium.time.ZonedTimestamp")
    zero = b'"1970-01-01T00:00:00Z"'
    return Kind(schema, to.zoned_timestamp(digits), to.far_zoned_timestamp(digits), zero)


def _time(modifier: int, _: Modes) -> Kind:
    if _digits(modifier) <= _MILLISECOND_DIGITS:
        schema = _schema("int32", "io.debezium.time.Time")
        return Kind(schema, to.milliseconds_of_day, zero=b"0")
    schema = _schema("int64", "io.debezium.time.MicroTime")
    return Kind(schema, to.microseconds_of_day, zero=b"0")


def _bits(modifier: int, _: Modes) -> Kind:
    if modifier == 1:
        return Kind({"type": "boolean"}, to.boolean_bit, zero=b"false")
    length = _UNBOUNDED_BITS if modifier < 0 else modifier
    return Kind(_schema("bytes", "io.debezium.data.Bits", length=str(length)), to.bits)


_BY_MODIFIER: Final[dict[str, Callable[[int, Modes], Kind]]] = {
    "numeric": _numeric,
    "money": _money,
    "interval": _interval,
    "timestamp": _timestamp,
    "timestamptz": _zoned_timestamp,
    "time": _time,
    "bit": _bits,
    "varbit": _bits,
}

_TEXT: Final = Kind({"type": "string"})
_OBJECT: Final = Kind({"type": "string"}, to.as_text)
_JSON: Final = _named("string", "io.debezium.data.Json")._replace(convert=to.as_text, zero=b'"{}"')

_POINT: Final = {
    "type": "struct",
    "fields": [
        {"type": "double", "optional": False, "field": "x"},
        {"type": "double", "optional": False, "field": "y"},
        {"type": "bytes", "optional": True, "field": "wkb"},
        {"type": "int32", "optional": True, "field": "srid"},
    ],
    "name": "io.debezium.data.geometry.Point",
    "version": 1,
    "doc": "Geometry (POINT)",
}

_PLAIN: Final[dict[str, Kind]] = {
    "bool": Kind({"type": "boolean"}, zero=b"false"),
    "int2": Kind({"type": "int16"}, zero=b"0"),
    "int4": Kind({"type": "int32"}, zero=b"0"),
    "int8": Kind({"type": "int64"}, zero=b"0"),
    "oid": Kind({"type": "int64"}, to.unquoted, zero=b"0"),
    "float4": Kind({"type": "float"}, None, to.same, b"0.0"),
    "float8": Kind({"type": "double"}, None, to.same, b"0.0"),
    "date": Kind(_schema("int32", "io.debezium.time.Date"), to.days, to.far_days, b"0"),
    "timetz": _named("string", "io.debezium.time.ZonedTime")._replace(convert=to.zoned_time),
    "bytea": Kind({"type": "bytes"}, to.binary, not_sent=to.base64(NOT_SENT.encode())),
    "uuid": _named("string", "io.debezium.data.Uuid"),
    "json": _JSON,
    "jsonb": _JSON,
    "hstore": _JSON,
    "xml": _named("string", "io.debezium.data.Xml"),
    "ltree": _named("string", "io.debezium.data.Ltree"),
    "tsvector": _named("string", "io.debezium.data.Tsvector"),
    "point": Kind(_POINT, to.point, zero=to.point(b'"(0,0)"')),
    "vector": Kind(
        _schema("array", "io.debezium.data.DoubleVector") | {"items": {"type": "double"}},
        zero=b"[]",
    ),
    "halfvec": Kind(
        _schema("array", "io.debezium.data.FloatVector") | {"items": {"type": "float"}},
        zero=b"[]",
    ),
    "int2vector": _OBJECT,
    "oidvector": _OBJECT,
}
"""By the name of the base type; every other one is a string, in our JSON as well."""

_TOPIC: Final = re.compile(r"[^a-zA-Z0-9._-]")


def topic_name(prefix: str, schema: str, table: str) -> str:
    """The topic of a table: what a topic's name may not hold is `_`, as Debezium has it."""
    return _TOPIC.sub("_", f"{prefix}.{schema}.{table}")
