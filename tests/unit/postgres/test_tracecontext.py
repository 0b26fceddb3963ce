"""Which trace a transaction belongs to, as the messages of the stream say."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.events import Commit, Position
from connectors.postgres.tracecontext import PREFIX, TraceContexts
from tests.unit.postgres.messages import (
    INT4,
    NOT_SENT,
    TEXT,
    begin,
    commit,
    insert,
    relation,
    row,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = "00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
OID = 16384
COMMIT = Commit(Position(9), 1.0)


def message(text: str, prefix: bytes = PREFIX, flags: int = 1) -> bytes:
    """M."""
    head = b"M" + struct.pack(">Bq", flags, 7) + prefix + b"\0"
    return head + struct.pack(">i", len(text)) + text.encode()


def of_part(data: bytes, xid: int) -> bytes:
    """The same, within a block."""
    return data[:1] + struct.pack(">I", xid) + data[1:]


def stream_start(xid: int) -> bytes:
    """S."""
    return b"S" + struct.pack(">IB", xid, 1)


def stream_commit(xid: int) -> bytes:
    """C of a transaction in parts: `c`."""
    return b"c" + struct.pack(">IBqqq", xid, 0, 1, 2, 3)


def context(contexts: TraceContexts, messages: Sequence[bytes], end: bytes) -> str:
    """What the commit gets that `end` is."""
    for each in messages:
        assert contexts.traced(each, None) is None
    traced = contexts.traced(end, COMMIT)
    assert isinstance(traced, Commit)
    return traced.traceparent


def whole(contexts: TraceContexts, *messages: bytes) -> str:
    """Of a transaction that comes whole."""
    return context(contexts, [begin(), *messages], commit(9))


def test_a_message_says_the_trace_of_its_transaction() -> None:
    """The last one counts; the next transaction has none."""
    contexts = TraceContexts(None)
    assert whole(contexts, message(FIRST), message(SECOND)) == SECOND
    assert whole(contexts) == ""
    contexts.traced(begin(), None)
    contexts.traced(message(FIRST), None)
    assert whole(contexts) == "", "the connection was lost before that one's commit"


@pytest.mark.parametrize(
    "other",
    [
        message(FIRST, prefix=b"other"),
        message(FIRST, flags=0),
        message(""),
        message("00-" + "0" * 32 + "-b7ad6b7169203331-01"),
        message("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01"),
        message("ff" + FIRST[2:]),
        message(FIRST.upper()),
        message(FIRST + "-more"),
        message("\u00e9"),
    ],
)
def test_what_is_no_context_is_passed_over(other: bytes) -> None:
    """Another prefix, one outside of its transaction, or text that W3C doesn't allow."""
    assert whole(TraceContexts(None), message(FIRST), other) == FIRST


def test_a_column_says_it_for_the_transactions_of_its_rows() -> None:
    """Wherever the column is, mapped or not; also behind an old row."""
    contexts = TraceContexts("trace")
    described = relation(OID, [("id", INT4, True), ("note", TEXT, False), ("trace", TEXT, False)])
    other = relation(OID + 1, [("trace_id", TEXT, True)])
    assert whole(contexts, described, other, insert(OID, b"1", b"x", FIRST.encode())) == FIRST
    assert whole(contexts, insert(OID, b"1", None, SECOND.encode())) == SECOND
    new = row(b"2", NOT_SENT, FIRST.encode())
    assert whole(contexts, update(OID, new)) == FIRST
    assert whole(contexts, update(OID, new, row(b"1", None, SECOND.encode()))) == FIRST
    assert whole(contexts, insert(OID, b"1", b"x", None)) == ""
    assert whole(contexts, insert(OID + 1, FIRST.encode())) == ""


def test_a_column_that_is_gone_says_nothing() -> None:
    """The table is described anew before its next change."""
    contexts = TraceContexts("trace")
    whole(contexts, relation(OID, [("trace", TEXT, False)]))
    assert whole(contexts, relation(OID, [("id", INT4, True)]), insert(OID, FIRST.encode())) == ""


def test_transactions_in_parts_have_their_own() -> None:
    """Blocks of several are mixed; one that is rolled back takes its context along."""
    contexts = TraceContexts(None)
    parts = [
        *(stream_start(5), of_part(message(FIRST), 5), b"E"),
        *(stream_start(6), of_part(message(SECOND), 6), b"E"),
        *(stream_start(5), of_part(insert(OID, b"1"), 5), b"E"),
    ]
    assert context(contexts, parts, stream_commit(5)) == FIRST
    aborted = b"A" + struct.pack(">II", 6, 6)
    assert context(contexts, [aborted], stream_commit(6)) == ""
    assert whole(contexts, message(FIRST)) == FIRST
