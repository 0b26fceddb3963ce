"""Which trace a transaction belongs to: by a logical message, or by a column of its rows. Pure.

It looks at the same messages as the decoder, and only where that is configured.
"""

from __future__ import annotations

import re
from dataclasses import replace
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from cdc_daemon.events import Commit
from connectors.postgres.pgoutput import read_relation

if TYPE_CHECKING:
    from cdc_daemon.events import Change, Event

PREFIX: Final = b"traceparent"
"""Of the message: `pg_logical_emit_message(true, 'traceparent', '00-...')`."""

_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_BEGIN: Final = ord("B")
_INSERT: Final = ord("I")
_MESSAGE: Final = ord("M")
_RELATION: Final = ord("R")
_STREAM_ABORT: Final = ord("A")
_STREAM_COMMIT: Final = ord("c")
_STREAM_START: Final = ord("S")
_STREAM_STOP: Final = ord("E")
_UPDATE: Final = ord("U")
_NEW_TUPLE: Final = ord("N")
_TEXT: Final = ord("t")
_WHOLE: Final = 0
"""In place of a number: the transaction that comes whole."""

_UINT16: Final = Struct(">H").unpack_from
_UINT32: Final = Struct(">I").unpack_from
_ABORTED: Final = Struct(">II").unpack_from
_TRANSACTIONAL: Final = 1
_PREFIX_AT: Final = 10
"""In a message: behind its kind, flags and position."""
_TUPLE_AT: Final = 6
"""In an insert: behind its kind, the table's number, and the kind of the tuple."""


Decoded: TypeAlias = "Event | list[Event] | list[Change] | None"
"""What the decoder makes of a message."""


class TraceContexts:
    """The contexts of the transactions of one stream that haven't ended; the last one counts."""

    def __init__(self, column: str | None) -> None:
        """`column`: in rows of every table that has one of this name."""
        self._column = column
        self._places: dict[int, int] = {}
        """By table: which of its columns it is."""
        self._contexts: dict[int, str] = {}
        """By transaction."""
        self._current = _WHOLE

    def traced(self, data: bytes, event: Decoded) -> Decoded:
        """Take up what a message of the stream says; give its commit the context."""
        if isinstance(event, Commit):
            return replace(event, traceparent=self._take(data))
        self._look(data)
        return event

    def _look(self, data: bytes) -> None:
        tag = data[0]
        if tag == _BEGIN:
            self._contexts.pop(_WHOLE, None)
        elif tag == _STREAM_START:
            self._current = _UINT32(data, 1)[0]
        elif tag == _STREAM_STOP:
            self._current = _WHOLE
        elif tag == _STREAM_ABORT:
            xid, subxid = _ABORTED(data, 1)
            if xid == subxid:
                self._contexts.pop(xid, None)
        elif tag in {_INSERT, _UPDATE, _RELATION, _MESSAGE}:
            # Within a block each message says its transaction first.
            self._look_inside(data if self._current == _WHOLE else data[:1] + data[5:])

    def _take(self, data: bytes) -> str:
        """The context of the transaction that this message commits; empty where it has none."""
        xid = _UINT32(data, 1)[0] if data[0] == _STREAM_COMMIT else _WHOLE
        return self._contexts.pop(xid, "")

    def _look_inside(self, data: bytes) -> None:
        if data[0] == _MESSAGE:
            self._note(_content(data))
        elif data[0] == _RELATION:
            self._describe(data)
        elif (place := self._places.get(_UINT32(data, 1)[0])) is not None:
            at = _TUPLE_AT
            if data[at - 1] != _NEW_TUPLE:  # the old row comes first
                at = _after(data, at, _UINT16(data, at)[0]) + 1
            self._note(_value(data, at, place))

    def _describe(self, data: bytes) -> None:
        if self._column is None:
            return
        message = read_relation(data)
        names = [column.name for column in message.columns]
        self._places.pop(message.oid, None)
        if self._column in names:
            self._places[message.oid] = names.index(self._column)

    def _note(self, text: bytes) -> None:
        """What is no context is nobody's mistake here: it is passed over."""
        if _TRACEPARENT.fullmatch(text):
            self._contexts[self._current] = text.decode()


def _content(message: bytes) -> bytes:
    """What a message holds; empty where it is another one."""
    if message[1] != _TRANSACTIONAL:
        return b""
    end = message.index(0, _PREFIX_AT)
    return message[end + 5 :] if message[_PREFIX_AT:end] == PREFIX else b""


def _after(data: bytes, at: int, columns: int) -> int:
    """The place behind so many columns of the tuple at `at`."""
    at += 2
    for _ in range(columns):
        at += 5 + _UINT32(data, at + 1)[0] if data[at] == _TEXT else 1
    return at


def _value(data: bytes, at: int, place: int) -> bytes:
    """One column of a tuple; empty where it is null, or wasn't sent."""
    at = _after(data, at, place)
    return data[at + 5 : at + 5 + _UINT32(data, at + 1)[0]] if data[at] == _TEXT else b""
