"""Writes pgoutput messages, as PostgreSQL's documentation of the formats has them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Field = bytes | None | str
"""A value's text, NULL, or "u": an unchanged TOAST value."""
NOT_SENT = "u"

INT4, TEXT, JSONB = 23, 25, 3802


def string(text: str) -> bytes:
    """A null-terminated string."""
    return text.encode() + b"\0"


def relation(
    oid: int,
    columns: Sequence[tuple[str, int, bool]],
    *,
    schema: str = "public",
    name: str = "item",
    identity: str = "d",
) -> bytes:
    """R: columns are name, type oid, whether in the key."""
    described = b"".join(
        bytes([in_key]) + string(column) + struct.pack(">Ii", type_oid, -1)
        for column, type_oid, in_key in columns
    )
    head = b"R" + struct.pack(">I", oid) + string(schema) + string(name) + identity.encode()
    return head + struct.pack(">H", len(columns)) + described


def row(*fields: Field) -> bytes:
    """TupleData."""
    return struct.pack(">H", len(fields)) + b"".join(map(_field, fields))


def _field(field: Field) -> bytes:
    if field is None:
        return b"n"
    if isinstance(field, str):
        return b"u"
    return b"t" + struct.pack(">i", len(field)) + field


def insert(oid: int, *fields: Field) -> bytes:
    """I."""
    return b"I" + struct.pack(">I", oid) + b"N" + row(*fields)


def update(oid: int, new: bytes, old: bytes = b"", kind: bytes = b"K") -> bytes:
    """U, with an old row of `kind` (K or O) where there is one."""
    return b"U" + struct.pack(">I", oid) + (kind + old if old else b"") + b"N" + new


def delete(oid: int, old: bytes, kind: bytes = b"K") -> bytes:
    """D."""
    return b"D" + struct.pack(">I", oid) + kind + old


def truncate(*oids: int) -> bytes:
    """T."""
    return b"T" + struct.pack(">IB", len(oids), 0) + b"".join(struct.pack(">I", n) for n in oids)


def begin(final: int = 100, xid: int = 7) -> bytes:
    """B."""
    return b"B" + struct.pack(">qqI", final, 0, xid)


def commit(end: int, microseconds: int = 0) -> bytes:
    """C."""
    return b"C" + struct.pack(">Bqqq", 0, end - 8, end, microseconds)


def stream_start(xid: int) -> bytes:
    """S."""
    return b"S" + struct.pack(">IB", xid, 1)


def stream_stop() -> bytes:
    """E."""
    return b"E"


def stream_commit(xid: int, end: int, microseconds: int = 0) -> bytes:
    """The small c."""
    return b"c" + struct.pack(">IBqqq", xid, 0, end - 8, end, microseconds)


def stream_abort(xid: int, subxid: int) -> bytes:
    """A."""
    return b"A" + struct.pack(">II", xid, subxid)


def of(subxid: int, message: bytes) -> bytes:
    """The message as it is between stream start and stream stop."""
    return message[:1] + struct.pack(">I", subxid) + message[1:]
