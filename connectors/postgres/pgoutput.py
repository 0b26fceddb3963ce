"""Decode the pgoutput protocol: bytes of one replication message in, an event out. Pure.

Formats: PostgreSQL documentation, "Logical Replication Message Formats", protocol version 2: a
transaction comes whole after its commit, or, where it is large, in parts (stream blocks) before it.
One flat loop and no object per column: a ten-column insert costs about 3 us, of which the type
conversions are half (`benchmarks/decode.py`).
"""

from __future__ import annotations

from dataclasses import replace
from struct import Struct
from struct import error as StructError  # noqa: N812 - an exception, which struct calls `error`
from typing import Final

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Commit,
    Event,
    Position,
    Row,
    StreamAbort,
    StreamStart,
    StreamStop,
    Watermark,
)
from connectors.postgres.streamed import Streamed, StreamedTransactions
from connectors.postgres.tupleplan import (
    PASS,
    TYPE_CHANGED,
    ColumnPlan,
    PlanFor,
    RelationMessage,
    StreamColumn,
    TuplePlan,
    misfit,
    tolerant,
)

POSTGRES_EPOCH_SECONDS: Final = 946_684_800
"""2000-01-01 in Unix time: PostgreSQL counts microseconds from there."""

_BEGIN: Final = 66
_COMMIT: Final = 67
_DELETE: Final = 68
_INSERT: Final = 73
_MESSAGE: Final = 77
_ORIGIN: Final = 79
_RELATION: Final = 82
_TRUNCATE: Final = 84
_UPDATE: Final = 85
_TYPE: Final = 89
_STREAM_ABORT: Final = 65
_STREAM_COMMIT: Final = 99
_STREAM_START: Final = 83
_STREAM_STOP: Final = 69

_NULL: Final = 110
_TEXT: Final = 116
_NOT_SENT: Final = 117
_NEW_TUPLE: Final = 78
_OLD_TUPLES: Final = frozenset({75, 79})
"""`K`, the old key, and `O`, the whole old row."""
_JSON_NULL: Final = b"null"

_UINT16: Final = Struct(">H").unpack_from
_UINT32: Final = Struct(">I").unpack_from
_INT32: Final = Struct(">i").unpack_from
_COMMIT_BODY: Final = Struct(">Bqqq").unpack_from
_BEGIN_BODY: Final = Struct(">qqI").unpack_from
_BEGIN_BYTES: Final = 21
_COMMIT_BYTES: Final = 26
_TRUNCATE_BODY: Final = Struct(">IB").unpack_from
_STREAM_START_BYTES: Final = 6
_STREAM_COMMIT_BODY: Final = Struct(">IBqqq").unpack_from
_STREAM_COMMIT_BYTES: Final = 30
_STREAM_ABORT_BODY: Final = Struct(">II").unpack_from
_STREAM_ABORT_BYTES: Final = 9

FAR_BYTES: Final = 1 << 20
"""A transaction whose commit lies so far behind the last one says that all before it has come: of
less, which the server writes within milliseconds, an event each would cost more than it tells."""


class Decoder:
    """Decodes one stream: remembers the relations that it described, and the open transactions."""

    def __init__(self, plan_for: PlanFor) -> None:
        self._plan_for = plan_for
        self._streamed = StreamedTransactions()
        self._described = self._streamed.to_all
        """What was said to the transaction whose changes come just now."""
        self._plans = self._described.plans
        self._xid = 0
        """Of the transaction that is open; only its begin says it."""
        self._end = 0
        """Of the last commit."""
        self._part: Streamed | None = None
        """The transaction of the block that is being read."""
        self.in_transaction = False
        """Between begin and commit no watermark may pass, nor within a block."""
        self.in_part = False
        """Within a block: what comes is for `decode_part`."""

    def decode(self, data: bytes) -> Event | list[Change] | None:
        """Decode one message; None for those that change nothing (begin, relation, type, ...).

        A truncate of several tables gives a list. Where a value can't become JSON the row holds
        `Unreadable`, where it may not fit a field `Special`, unless its type has changed: then the
        table is a misfit. Raises ValueError on a message that is unknown, cut short, too long, or
        about a table that the stream has not described.
        """
        try:
            tag = data[0]
            if tag == _INSERT:
                return self._insert(data)
            if tag == _UPDATE:
                return self._update(data)
            if tag == _DELETE:
                return self._delete(data)
            return self._rare(tag, data)
        except RejectedError as error:
            if error.reason == TYPE_CHANGED:
                return self._decode_as_misfit(data, error)
            return self._decode_tolerantly(data)
        except (IndexError, KeyError, StructError) as error:
            raise _garbled(data) from error

    def decode_part(self, data: bytes) -> Event | list[Event] | list[Change] | None:
        """As `decode`, within a block; where the subtransaction is another one it comes first."""
        try:
            tag = data[0]
            if tag == _STREAM_STOP:
                return self._stop_part(data)
            if tag == _ORIGIN:
                return None
            return self._decode_of_part(_UINT32(data, 1)[0], data[:1] + data[5:])
        except (IndexError, StructError) as error:
            raise _garbled(data) from error

    def _decode_of_part(
        self, subxid: int, data: bytes
    ) -> Event | list[Event] | list[Change] | None:
        part = self._part
        assert part is not None  # noqa: S101 - only within a block
        event = self.decode(data)
        if event is None or subxid == part.subxid:
            return event
        part.subxid = subxid
        changes = event if isinstance(event, list) else [event]
        return [StreamStart(part.xid, subxid), *changes]

    def _decode_tolerantly(self, data: bytes) -> Event | list[Change] | None:
        """Decode a change once more, with stand-ins for what the good way has stumbled over."""
        oid = _UINT32(data, 1)[0]
        plan = self._plans[oid]
        made = self._described.tolerant
        if plan is not None and oid not in made:
            made[oid] = replace(plan, columns=tolerant(plan.columns))
        change = self._decode_by(made.get(oid), oid, data)
        if isinstance(change, Change):
            change.has_unchanged = True
        return change

    def _decode_as_misfit(self, data: bytes, error: RejectedError) -> Event | list[Change] | None:
        """A type was altered under its name (alter type): no value of the row is taken."""
        oid = _UINT32(data, 1)[0]
        plan = self._plans[oid]
        made = self._described.misfits
        if plan is not None and oid not in made:  # once: a transaction may have millions of them
            why = f"a value isn't of its type: {error.explanation}"
            made[oid] = misfit(plan.relation, len(plan.columns), why)
        return self._decode_by(made.get(oid), oid, data)

    def _decode_by(
        self, plan: TuplePlan | None, oid: int, data: bytes
    ) -> Event | list[Change] | None:
        """Decode one change by another plan than the one of its relation."""
        usual = self._plans[oid]
        self._plans[oid] = plan
        try:
            return self.decode(data)
        finally:
            self._plans[oid] = usual

    def _insert(self, data: bytes) -> Change | None:
        plan = self._plans[_UINT32(data, 1)[0]]
        if plan is None:
            return None
        row, end, unchanged = read_tuple(data, 6, plan.columns)
        if end != len(data) or data[5] != _NEW_TUPLE:
            raise _garbled(data)
        if plan.lacking:
            row.extend([_JSON_NULL] * plan.lacking)
        return Change(plan.relation, ChangeKind.INSERT, row, None, unchanged)

    def _update(self, data: bytes) -> Change | None:
        plan = self._plans[_UINT32(data, 1)[0]]
        if plan is None:
            return None
        old: Row | None = None
        at = 6
        if data[5] in _OLD_TUPLES:
            old, at, _ = read_tuple(data, 6, plan.columns)
            at += 1
        new, end, unchanged = read_tuple(data, at, plan.columns)
        if end != len(data) or data[at - 1] != _NEW_TUPLE:
            raise _garbled(data)
        if plan.lacking:
            for row in filter(None, (old, new)):
                row.extend([_JSON_NULL] * plan.lacking)
        return Change(plan.relation, ChangeKind.UPDATE, new, old, unchanged)

    def _delete(self, data: bytes) -> Change | None:
        plan = self._plans[_UINT32(data, 1)[0]]
        if plan is None:
            return None
        old, end, _ = read_tuple(data, 6, plan.columns)
        if end != len(data) or data[5] not in _OLD_TUPLES:
            raise _garbled(data)
        if plan.lacking:
            old.extend([_JSON_NULL] * plan.lacking)
        return Change(plan.relation, ChangeKind.DELETE, None, old)

    def _rare(self, tag: int, data: bytes) -> Event | list[Change] | None:
        if tag == _BEGIN:
            _require(data, _BEGIN_BYTES)
            start, _, self._xid = _BEGIN_BODY(data, 1)
            self.in_transaction = True
            return Watermark(Position(start)) if start - self._end >= FAR_BYTES else None
        if tag == _COMMIT:
            _require(data, _COMMIT_BYTES)
            self.in_transaction = False
            _, start, self._end, microseconds = _COMMIT_BODY(data, 1)
            return _commit(start, self._end, microseconds, self._xid)
        if tag == _RELATION:
            self._describe(read_relation(data))
            return None
        if tag == _TRUNCATE:
            return self._truncate(data)
        if tag in {_TYPE, _ORIGIN, _MESSAGE}:
            return None
        return self._of_streamed(tag, data)

    def _describe(self, message: RelationMessage) -> None:
        self._streamed.describe(self._part, message.oid, self._plan_for(message))

    def _of_streamed(self, tag: int, data: bytes) -> Event | None:
        if tag == _STREAM_START:
            _require(data, _STREAM_START_BYTES)
            self._part = self._streamed.part(_UINT32(data, 1)[0])
            self._described = self._part.described
            self._plans = self._described.plans
            self.in_part = self.in_transaction = True
            return None
        if tag == _STREAM_COMMIT:
            _require(data, _STREAM_COMMIT_BYTES)
            xid, _, start, self._end, microseconds = _STREAM_COMMIT_BODY(data, 1)
            self._streamed.commit(xid)
            return _commit(start, self._end, microseconds, xid)
        if tag == _STREAM_ABORT:
            _require(data, _STREAM_ABORT_BYTES)
            xid, subxid = _STREAM_ABORT_BODY(data, 1)
            if xid == subxid:
                self._streamed.roll_back(xid)
            return StreamAbort(xid, subxid)
        raise ValueError(f"unknown pgoutput message {chr(tag)!r}")

    def _stop_part(self, data: bytes) -> StreamStop:
        _require(data, 1)
        self._part, self._described = None, self._streamed.to_all
        self._plans = self._described.plans
        self.in_part = self.in_transaction = False
        return StreamStop()

    def _truncate(self, data: bytes) -> list[Change]:
        count, _ = _TRUNCATE_BODY(data, 1)
        _require(data, 6 + 4 * count)
        plans = (self._plans[_UINT32(data, 6 + 4 * at)[0]] for at in range(count))
        return [Change(plan.relation, ChangeKind.TRUNCATE) for plan in plans if plan is not None]


def read_tuple(  # noqa: C901 - one flat loop: a call for each column costs more than the rest
    data: bytes, at: int, plans: tuple[ColumnPlan, ...]
) -> tuple[Row, int, bool]:
    """Read a TupleData at `at`: the row, the offset behind it, whether a value is UNCHANGED."""
    row: Row = []
    append = row.append
    unchanged = False
    at += 2  # the number of columns: the Relation message has said it, the message's end proves it
    for plan in plans:
        kind = data[at]
        if kind == _TEXT:
            start = at + 5
            at = start + _UINT32(data, at + 1)[0]
            if plan is PASS:
                append(data[start:at])
            elif plan is not None:
                append(plan(data[start:at]))  # type: ignore[operator]  # mypy narrows no `is`
        elif kind == _NULL:
            at += 1
            if plan is not None:
                append(_JSON_NULL)
        elif kind == _NOT_SENT:
            at += 1
            if plan is not None:
                append(UNCHANGED)
                unchanged = True
        else:
            raise ValueError(f"unknown kind of column value {chr(kind)!r}")
    return row, at, unchanged


def read_relation(data: bytes) -> RelationMessage:
    """Read a Relation message."""
    oid = _UINT32(data, 1)[0]
    schema, at = _read_string(data, 5)
    name, at = _read_string(data, at)
    identity = chr(data[at])
    count = _UINT16(data, at + 1)[0]
    at += 3
    columns = []
    for _ in range(count):
        in_key = bool(data[at] & 1)
        column, at = _read_string(data, at + 1)
        columns.append(StreamColumn(column, _UINT32(data, at)[0], _INT32(data, at + 4)[0], in_key))
        at += 8
    _require(data, at)
    return RelationMessage(oid, schema or "pg_catalog", name, identity, tuple(columns))


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1


def _commit(start: int, end: int, microseconds: int, xid: int) -> Commit:
    time = microseconds / 1e6 + POSTGRES_EPOCH_SECONDS
    return Commit(Position(end), time, xid, start=Position(start))


def _require(data: bytes, length: int) -> None:
    if len(data) != length:
        raise _garbled(data)


def _garbled(data: bytes) -> ValueError:
    """Names the message but shows none of it: it may hold values of rows."""
    return ValueError(f"pgoutput message {chr(data[0]) if data else ''!r} of {len(data)} bytes")
