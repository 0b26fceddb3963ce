"""PostgreSQL text of one scalar value -> JSON text, by the name of its type.

Every encoder is called once for each value of each row, so each is the fastest exact form that was
measured (CPython 3.11, ns a call, results kept for a batch of 2,000): bool 37, numeric and floats
51, quoted as it is 86, bytea 80, timestamp 121, timestamptz 179, text of 11 characters 145, of 200
characters 155.

`34 in raw` takes 18 ns where `b'"' in raw` takes 151 (it first tries to read a number, and fails):
hence the constants.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

import orjson

from cdc_daemon.errors import RejectedError

Encoder: TypeAlias = Callable[[bytes], bytes]
"""One value to one value; no I/O, and never called with SQL's NULL."""

NULL: Final = b"null"
BACKSLASH: Final = ord("\\")
QUOTE: Final = ord('"')
NINE: Final = ord("9")
_LINE_FEED: Final = ord("\n")
_CARRIAGE_RETURN: Final = ord("\r")
_SHORT_ZONE: Final = re.compile(rb"([+-]\d\d)(?=$| BC$)")

_dumps = orjson.dumps


def text(raw: bytes) -> bytes:
    """Any text, escaped.

    orjson hands out its working buffer of 1 KiB, cut to size: kept, it costs 616 ns, because the
    allocator can't use the rest. A copy (the `%b`) frees the buffer for the next call: 145 ns.
    Raises RejectedError for what isn't UTF-8, which a database of encoding SQL_ASCII can hold.
    """
    try:
        return b"%b" % _dumps(raw.decode())
    except UnicodeDecodeError as error:
        raise RejectedError("not_utf8", f"a text value is not UTF-8: {error.reason}") from error


quoted: Final[Encoder] = b'"%b"'.__mod__
"""Text that never holds anything to escape: dates, uuid, addresses, bits. No Python frame."""

boolean: Final[Encoder] = {b"t": b"true", b"f": b"false"}.__getitem__


def number(raw: bytes) -> bytes:
    """Every digit as it is; NaN and the infinities, which JSON has no number for, are null.

    PostgreSQL's numbers are JSON's (`-0.5`, `1e+20`, `1e-05`) and end in a digit.
    """
    return raw if raw[-1] <= NINE else NULL


def exact_number(raw: bytes) -> bytes:
    """Every digit as it is; what JSON has no number for as `to_jsonb` has it: `"NaN"`."""
    return raw if raw[-1] <= NINE else b'"%b"' % raw


def timestamp(raw: bytes) -> bytes:
    """ISO 8601's `T` for the blank; `infinity` has none, and ` BC` comes later."""
    return b'"%b"' % raw.replace(b" ", b"T", 1)


def timestamptz(raw: bytes) -> bytes:
    """As `timestamp`, and the zone in full: `+00:00`."""
    if raw[-3:] == b"+00":
        return b'"%b:00"' % raw.replace(b" ", b"T", 1)
    return b'"%b"' % _SHORT_ZONE.sub(rb"\1:00", raw.replace(b" ", b"T", 1))


def bytea(raw: bytes) -> bytes:
    r"""Hexadecimal text `\xdead`: its only backslash comes first."""
    return b'"\\%b"' % raw


def json(raw: bytes) -> bytes:
    """What was stored, on one line: a raw line end can only be space between tokens.

    Digits, duplicate keys and their order stay. Looking first takes 75 ns for half a kilobyte,
    removing always takes 598.
    """
    if _LINE_FEED in raw or _CARRIAGE_RETURN in raw:
        return raw.translate(None, b"\r\n")
    return raw


def int2vector(raw: bytes) -> bytes:
    """`1 2` is an array to `to_jsonb`."""
    return b"[%b]" % raw.replace(b" ", b",")


def oidvector(raw: bytes) -> bytes:
    """As `int2vector`, but an oid is a string to `to_jsonb`."""
    return b'["%b"]' % raw.replace(b" ", b'","') if raw else b"[]"


ALREADY_JSON: Final = frozenset({"int2", "int4", "int8", "jsonb", "vector", "halfvec"})
"""Types whose text is JSON; jsonb escapes line ends within strings and prints none outside.

pgvector writes `[1,2.5,1e-05]`, and takes neither NaN nor the infinities."""

AS_TEXT: Final = frozenset(
    {
        *("text", "varchar", "bpchar", "name", "char", "refcursor", "xml", "money"),
        *("tsvector", "tsquery", "gtsvector", "jsonpath", "aclitem", "pg_node_tree"),
        *("regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper"),
        *("regoperator", "regproc", "regprocedure", "regrole", "regtype"),
        *("citext", "ltree", "lquery", "ltxtquery", "sparsevec"),
    }
)
"""Base types that are known, and known to be best as their text."""

NUMBERS: Final = frozenset({"numeric", "float4", "float8"})
"""Types of which some values are no numbers to JSON."""

DATES: Final = frozenset({"date", "timestamp", "timestamptz"})
"""Types that know `infinity`, and more years than four digits hold."""

SCALARS: Final[dict[str, Encoder]] = {
    "bool": boolean,
    "numeric": number,
    "float4": number,
    "float8": number,
    "timestamp": timestamp,
    "timestamptz": timestamptz,
    "bytea": bytea,
    "json": json,
    "int2vector": int2vector,
    "oidvector": oidvector,
} | dict.fromkeys(
    (
        *("date", "time", "timetz", "interval", "uuid"),
        *("inet", "cidr", "macaddr", "macaddr8", "bit", "varbit"),
        *("oid", "xid", "xid8", "cid", "tid", "pg_lsn", "pg_snapshot", "txid_snapshot"),
        *("point", "line", "lseg", "box", "path", "polygon", "circle"),
    ),
    quoted,
)
"""Base types with a form of their own; every other one is `text`."""


def is_known(name: str) -> bool:
    """Whether the text of this base type is understood, not only passed on."""
    return name in SCALARS or name in ALREADY_JSON or name in AS_TEXT or name == "hstore"
