"""Decode the ordered log of a relay: one message in, events out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Commit,
    Special,
    Unreadable,
    Watermark,
)
from connectors.relay.log import (
    EXACT_MARK,
    FIRST_FORM,
    HAS_MARKS,
    HAS_NEW,
    HAS_OLD,
    KIND_BITS,
    RECORD,
    SECTION,
    SPECIAL_MARK,
    UNCHANGED_MARK,
    UNREADABLE_MARK,
    VALUE,
    Layout,
    LogColumn,
    placed,
    read_head,
    split_sections,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Event, Position, Relation, Row, Value
    from connectors.relay.log import LogHead, LogPlace

_SPECIAL: Final = SPECIAL_MARK[0]
_UNREADABLE: Final = UNREADABLE_MARK[0]
_NULL: Final = b"null"


@dataclass(frozen=True, slots=True)
class RowPlan:
    """How the rows of a layout become those of a relation."""

    relation: Relation
    places: tuple[int, ...]
    """Where in the log's row each column is."""
    lacking: int = 0
    """How many columns at the end of the relation weren't there yet: they are null."""


class Reader(Protocol):
    """Who reads a log."""

    def heard(self, head: LogHead) -> None:
        """The log says this of itself from here on. Raises where it can't be read on."""

    def plan_for(self, layout: Layout) -> RowPlan | None:
        """How changes of such a table are read; None where nobody follows it."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How changes of one form and layout are read."""

    kind: ChangeKind
    plan: RowPlan | None
    width: int
    """How many values the log's rows have."""
    has_new: bool
    has_old: bool
    has_marks: bool

    @property
    def values(self) -> int:
        """How many there are of both rows."""
        return self.width * (self.has_new + self.has_old)

    @property
    def is_plain(self) -> bool:
        """Whether all there is is a new row, and that is as the relation wants it."""
        only_new = self.has_new and not self.has_old and not self.has_marks
        plan = self.plan
        return (
            only_new
            and plan is not None
            and plan == RowPlan(plan.relation, tuple(range(self.width)))
        )


@dataclass(frozen=True, slots=True)
class _Described:
    plan: RowPlan | None
    width: int


class LogDecoder:
    """Decodes one log from some message on."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._head = b""
        self._layouts: dict[bytes, _Described] = {}
        self._position: Position | None = None
        """Where the last transaction ended; None before the first message."""
        self._part = 0
        """Which part of a transaction comes next."""
        self._cut: list[bytes] = []
        """What has come of a change that isn't whole."""
        self._shows = False
        """Whether the transaction has changes of tables that are followed."""

    def decode(self, message: bytes) -> Sequence[Event]:
        """The events of one message; a transaction that has nothing of ours is a watermark.

        Raises ValueError where it isn't what can come after the message before.
        """
        head, place_text, rest = split_sections(message)
        if head != self._head:
            self._reader.heard(read_head(head))
            self._head = head
        place = placed(place_text)
        if self._position not in {None, place.after} or place.part != self._part:
            raise ValueError(
                f"part {place.part} of the transaction after {place.after} comes where part "
                f"{self._part} of the one after {self._position} should"
            )
        layouts, records = rest.split(SECTION, 1)
        events = self._changes(place, layouts, records) if records else []
        self._end(place, events)
        return events

    def _end(self, place: LogPlace, events: list[Event]) -> None:
        self._shows = self._shows or bool(events)
        self._position = place.after
        if place.kind in {"part", "cut"}:
            self._part += 1
            return
        if self._shows:
            events.append(Commit(place.position, place.time, place.xid, place.traceparent))
        else:
            events.append(Watermark(place.position))
        self._position, self._part, self._shows = place.position, 0, False

    def _changes(self, place: LogPlace, layouts: bytes, records: bytes) -> list[Event]:
        texts = records.split(RECORD)
        if place.kind == "cut":
            self._cut.append(texts.pop())
        elif self._cut:
            texts[0] = b"".join((*self._cut, texts[0]))
            self._cut = []
        described = [self._described(each) for each in layouts.split(RECORD) if each]
        forms: dict[bytes, tuple[_Form, int, Relation | None]] = {}
        events: list[Event] = []
        append = events.append
        for text in texts:
            values = text.split(VALUE)
            code = values.pop()
            if code not in forms:
                form = _form(code, described)
                plain = form.plan.relation if form.plan and form.is_plain else None
                forms[code] = form, form.values, plain
            form, count, relation = forms[code]
            if len(values) != count:
                raise ValueError(f"a change of {len(values)} values where there should be {count}")
            if relation is not None:
                append(Change(relation, form.kind, values))  # type: ignore[arg-type]  # a new list
            elif form.plan is not None:
                append(_change(form, form.plan, values))
        return events

    def _described(self, text: bytes) -> _Described:
        found = self._layouts.get(text)
        if found is None:
            layout = _read_layout(text)
            plan = self._reader.plan_for(layout)
            found = self._layouts[text] = _Described(plan, len(layout.columns))
        return found


def _form(code: bytes, described: Sequence[_Described]) -> _Form:
    bits = code[0] - FIRST_FORM
    table = described[int(code[1:])]
    return _Form(
        ChangeKind(bits >> KIND_BITS),
        table.plan,
        table.width,
        has_new=bool(bits & HAS_NEW),
        has_old=bool(bits & HAS_OLD),
        has_marks=bool(bits & HAS_MARKS),
    )


def _change(form: _Form, plan: RowPlan, values: Sequence[bytes]) -> Change:
    new = _row(form, plan, values[: form.width]) if form.has_new else None
    old = _row(form, plan, values[-form.width :]) if form.has_old else None
    return Change(plan.relation, form.kind, new, old, form.has_marks)


def _row(form: _Form, plan: RowPlan, values: Sequence[bytes]) -> Row:
    row: Row = [values[at] for at in plan.places]
    if form.has_marks:
        row = [_unmarked(values[at]) for at in plan.places]
    row.extend([_NULL] * plan.lacking)
    return row


def _unmarked(value: bytes) -> Value:
    if value == UNCHANGED_MARK:
        return UNCHANGED
    if value[0] == _SPECIAL:
        text, _, exact = value[1:].partition(EXACT_MARK)
        special = Special(text)
        special.exact = exact
        return special
    if value[0] == _UNREADABLE:
        reason, explanation, raw = orjson.loads(value[1:])
        return Unreadable(reason, explanation, None if raw is None else bytes.fromhex(raw))
    return value


def _read_layout(text: bytes) -> Layout:
    said = orjson.loads(text)
    said["columns"] = tuple(LogColumn(*column) for column in said["columns"])
    return Layout(**said)
