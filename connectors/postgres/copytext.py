"""Decode COPY's text format: one line in, a row out. Pure.

Format: PostgreSQL documentation, COPY, "Text Format". A field has a backslash only where something
is escaped, and that is rare: the common line costs one `split`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from connectors.postgres.tupleplan import PASS

if TYPE_CHECKING:
    from cdc_daemon.events import Row
    from connectors.postgres.tupleplan import ColumnPlan

_NULL: Final = rb"\N"
_JSON_NULL: Final = b"null"
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def read_line(line: bytes, plans: tuple[ColumnPlan, ...]) -> Row:
    """Read one line of COPY (SELECT ...) TO STDOUT: one field for each plan.

    Raises ValueError when the line is cut short or has another number of fields.
    """
    if line[-1:] != b"\n":
        raise ValueError(f"a line of COPY of {len(line)} bytes has no end")
    fields = line[:-1].split(b"\t") if plans else []
    if b"\\" not in line:  # nothing is escaped, nor NULL
        return [
            text if plan is PASS else plan(text)  # type: ignore[misc,operator]  # never None here
            for text, plan in zip(fields, plans, strict=True)
        ]
    row: Row = []
    append = row.append
    for field, plan in zip(fields, plans, strict=True):
        if field == _NULL:
            append(_JSON_NULL)
            continue
        text = field if b"\\" not in field else _ESCAPE.sub(_unescape, field)
        append(text if plan is PASS else plan(text))  # type: ignore[misc,operator]  # never None here
    return row


def _unescape(match: re.Match[bytes]) -> bytes:
    letter = match[1]
    return _ESCAPED.get(letter, letter)
