"""Column types by the names that SQL has for them. Pure."""

from __future__ import annotations

import re
from typing import Final

from cdc_daemon.events import ColumnType
from cdc_daemon.nearest import nearest

_NAMES: Final = {
    "smallint": "int2",
    "integer": "int4",
    "int": "int4",
    "bigint": "int8",
    "boolean": "bool",
    "real": "float4",
    "double precision": "float8",
    "decimal": "numeric",
    "character varying": "varchar",
    "character": "bpchar",
    "char": "bpchar",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time without time zone": "time",
    "time with time zone": "timetz",
}
"""Those that SQL calls otherwise than PostgreSQL's catalog."""
KNOWN: Final = frozenset(
    {
        *("int2", "int4", "int8", "numeric", "float4", "float8", "bool"),
        *("text", "varchar", "bpchar", "citext", "uuid", "bytea", "json", "jsonb"),
        *("date", "time", "timestamp", "timestamptz", "interval", "inet", "cidr"),
    }
)
"""Types whose values are checked, and made the same text whoever writes them."""
PASSED_ON: Final = frozenset(
    {
        *("timetz", "bit", "hstore", "oid", "macaddr", "macaddr8", "xml"),
        *("point", "ltree", "tsvector", "vector", "halfvec"),
        *("int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"),
    }
)
"""Types whose text is taken as it is given."""
_TYPE: Final = re.compile(
    r"\s*([a-z0-9][a-z0-9 ]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*(\[\])?"
    r"(\s+not\s+null)?\s*",
    re.ASCII | re.IGNORECASE,
)
_MEASURED_TIME: Final = re.compile(
    r"(time|timestamp)\s*(\(\s*\d+\s*\))\s*(with(?:out)? time zone)", re.IGNORECASE
)
"""SQL has the measure of these in the middle."""
_HEADER: Final = 4
"""What a modifier counts besides: the length of a header."""
_PRECISION_AT: Final = 16
_MEASURED: Final = frozenset({"varchar", "bpchar", "numeric"})
_PRECISE: Final = frozenset({"time", "timetz", "timestamp", "timestamptz", "bit"})
"""Their modifier is the number itself."""


def column_type(declared: str) -> tuple[ColumnType, bool]:
    """The type that SQL writes so, and whether it may be null.

    Raises ValueError with what it should be.
    """
    found = _TYPE.fullmatch(_MEASURED_TIME.sub(r"\1 \3 \2", declared))
    if found is None:
        raise ValueError(f"expected a type such as text, numeric(10,2) or int[]; found {declared}")
    said, first, second, array, not_null = found.groups()
    plain = " ".join(said.lower().split())
    name = _NAMES.get(plain, plain)
    if name not in KNOWN | PASSED_ON:
        candidates = (*KNOWN, *PASSED_ON, *_NAMES)
        meant = nearest(plain, candidates)
        guess = f"did you mean {meant}?" if meant else f"there are {', '.join(sorted(candidates))}"
        raise ValueError(f"{plain} is no type that can be declared: {guess}")
    modifier = _modifier(name, first, second)
    element = ColumnType(name, modifier=modifier, declared=_declared(plain, first, second))
    if array is None:
        return element, not_null is None
    return (
        ColumnType(f"_{name}", "array", element=element, declared=f"{element.declared}[]"),
        not_null is None,
    )


def _declared(name: str, first: str | None, second: str | None) -> str:
    measures = ",".join(each for each in (first, second) if each is not None)
    return f"{name}({measures})" if measures else name


def _modifier(name: str, first: str | None, second: str | None) -> int:
    if first is None:
        return -1
    if name in _PRECISE and second is None:
        return int(first)
    if name not in _MEASURED or (second is not None and name != "numeric"):
        raise ValueError(f"{name} takes no such measure in parentheses")
    if name == "numeric":
        return (int(first) << _PRECISION_AT) + int(second or 0) + _HEADER
    return int(first) + _HEADER
