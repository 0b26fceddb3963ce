"""From a read model to the columns of its table. Pure.

The columns that every table has begin with an underscore, which no field does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from connectors.postgres.dsn import IDENTIFIER_BYTES

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType
    from cdc_daemon.ports import FieldSpec, ReadModel

ID: Final = "_id"
ROUTING: Final = "_routing"
VERSION: Final = "_version"
DOCUMENT: Final = "_document"
DELETED_AT: Final = "_deleted_at"
OWN: Final = (ID, ROUTING, VERSION, DELETED_AT, DOCUMENT)

TEXT: Final = "text"
JSON: Final = "jsonb"
BY_NAME: Final = {
    "bool": "boolean",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "oid": "bigint",
    "float4": "real",
    "float8": "double precision",
    "numeric": "numeric",
    "date": "date",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "interval": "interval",
    "uuid": "uuid",
    "inet": "inet",
    "cidr": "cidr",
    "macaddr": "macaddr",
    "macaddr8": "macaddr8",
    "json": JSON,
    "jsonb": JSON,
    # Their JSON is an object, or an array of any length.
    "hstore": JSON,
    "int2vector": JSON,
    "oidvector": JSON,
    "vector": JSON,
    "halfvec": JSON,
}
"""PostgreSQL's name of a type to the type of its column, as `format_type` writes it: built-in ones
that read back what the document says. Every other type is its text."""

INTEGERS: Final = {"smallint": 1 << 15, "integer": 1 << 31, "bigint": 1 << 63}
"""The least that is too large for each."""
FRACTIONS: Final = frozenset({"real", "double precision", "numeric"})

OF_THE_SYSTEM: Final = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
"""Names that no column can have."""


class Column(NamedTuple):
    """A column that shows a field."""

    name: str
    type: str


def columns_of(model: ReadModel) -> tuple[Column, ...]:
    """A column for each field that has one."""
    return tuple(Column(each.name, _type(each)) for each in model.fields if _has_column(each))


def _has_column(field: FieldSpec) -> bool:
    """Not what is within an object, nor an object itself: those are in the document."""
    fits = len(field.name.encode()) <= IDENTIFIER_BYTES and field.name not in OF_THE_SYSTEM
    return fits and "." not in field.name and not field.children


def _type(field: FieldSpec) -> str:
    if field.type is None:
        return _of_constant(field.example)
    column = _of_field(field, field.type)
    held = column.removesuffix("[]") if field.several else column
    return column if _takes(held, field.default) else TEXT


def _takes(column: str, default: object) -> bool:
    """Whether what stands for null is of the column's type: if not, all values are text."""
    if default is None or column in {TEXT, JSON}:
        return True
    if isinstance(default, bool):
        return column == "boolean"
    if isinstance(default, int) and column in INTEGERS:
        return -INTEGERS[column] <= default < INTEGERS[column]
    return isinstance(default, int | float) and column in FRACTIONS


def _of_field(field: FieldSpec, type: ColumnType) -> str:  # noqa: A002 - what it is
    base = type.base
    if base.kind == "array" and base.element is not None:
        return _of_several(JSON if field.several else _of_one(base.element.base))
    return _of_several(_of_one(base)) if field.several else _of_one(base)


def _of_one(base: ColumnType) -> str:
    if base.kind in {"composite", "array"}:
        return JSON
    return BY_NAME.get(base.name, TEXT) if base.kind == "base" else TEXT


def _of_several(element: str) -> str:
    """An array of arrays has as many in each row: what may have others is JSON."""
    return JSON if element == JSON else f"{element}[]"


def _of_constant(example: object) -> str:
    if isinstance(example, bool):
        return "boolean"
    if isinstance(example, int):
        return "numeric"
    if isinstance(example, float):
        return "double precision"
    return JSON if isinstance(example, dict | list) else TEXT
