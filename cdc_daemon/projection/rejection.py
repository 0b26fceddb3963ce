"""A row that can't become a document, as a content that travels to its commit like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import Special, Unchanged, Unreadable

if TYPE_CHECKING:
    from cdc_daemon.events import Relation, Row

MARK: Final = b"!"
"""The first byte of such a content: a document begins with a brace."""

MARK_BYTE: Final = MARK[0]
LARGEST_VALUE_BYTES: Final = 10_000
"""A dead letter shows at most so much of a column."""
CONCEALED: Final = '"***"'
"""Stands for a value that can't be read, and that nobody may see."""


class Rejected(NamedTuple):
    """What is known of the row: enough to understand it, and to find it in the source."""

    reason: str
    explanation: str
    row: dict[str, bytes]
    table: str


def rejection(error: RejectedError, relation: Relation, row: Row) -> bytes:
    """The content that says why `row` was rejected."""
    shown = {
        column.name: _shown(value)
        for column, value in zip(relation.columns, row, strict=True)
        if not isinstance(value, Unchanged)
    }
    return MARK + orjson.dumps([error.reason, error.explanation, shown, relation.qualified_name])


def _shown(value: bytes | Unreadable) -> str:
    """JSON text; of a value that can't be read, as much as can."""
    if isinstance(value, Special):
        value = value.exact
    if isinstance(value, bytes):
        return value[:LARGEST_VALUE_BYTES].decode(errors="replace")
    if value.raw is None:
        return CONCEALED
    return orjson.dumps(value.raw[:LARGEST_VALUE_BYTES].decode(errors="replace")).decode()


def read_rejection(content: bytes) -> Rejected:
    """What `rejection` wrote."""
    reason, explanation, row, table = orjson.loads(content[len(MARK) :])
    values = {name: value.encode() for name, value in row.items()}
    return Rejected(reason, explanation, values, table)


def left_out(value: str = "a large value") -> RejectedError:
    """The row can't be read either: whoever wrote the message must send the value along."""
    return RejectedError(
        "value_left_out",
        f"an update left out {value} that did not change, and from messages it can't be had: "
        "the document stays as it was. Run: alter table ... replica identity full; in the database "
        "that the messages come from, or leave the column out of the mapping",
    )
