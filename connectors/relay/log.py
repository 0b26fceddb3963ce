"""The ordered log that a relay writes: whole transactions as bytes, one after the other. Pure.

A message of the log is a transaction, a part of a large one, or a position that was reached. It has
four sections between bytes that no JSON text holds, so that rows are joined and split by them at
the speed of C and no value is read as JSON. Described in `docs/reference/relay.md`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import orjson

from cdc_daemon.events import NOWHERE, UNCHANGED, Position, Special, Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Change, Commit, Relation, Row, Value

FORMAT: Final = 1
"""Changes when an older daemon could not read what a newer one writes."""
PART_BYTES: Final = 900_000
"""Of changes in a message: Kafka takes messages of 1 MB unless told otherwise."""

SECTION: Final = b"\x1d"
RECORD: Final = b"\x1e"
VALUE: Final = b"\x1f"
UNCHANGED_MARK: Final = b"\x01"
SPECIAL_MARK: Final = b"\x02"
EXACT_MARK: Final = b"\x03"
UNREADABLE_MARK: Final = b"\x04"

EXCLUDED: Final = "excluded"
"""In the place of a digest: the column is left out."""

HAS_MARKS: Final = 1
HAS_OLD: Final = 2
HAS_NEW: Final = 4
KIND_BITS: Final = 3
FIRST_FORM: Final = 64
"""The form of a change is one printable byte: its kind, and which of the above it has."""


@dataclass(frozen=True, slots=True)
class LogHead:
    """What every message says of the log."""

    source_id: str
    """The history that the positions are of, as `Source.identity` has it."""
    tables: Mapping[str, str]
    """Those that are relayed, by `Relation.qualified_name`: how each belongs to the log. Another
    text than before says that the log may lack changes of the table."""
    protected: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of those that have any: the columns that rules protect, and how (`protected_columns`)."""


@dataclass(frozen=True, slots=True)
class LogColumn:
    """A column as the relay knew it."""

    name: str
    type: int
    """`pg_type.oid`; 0 where a rule of the source has changed the values."""
    declared: str
    """The type of the values, as SQL writes it."""
    in_identity: bool
    protection: str
    """As `Protection.digest`; empty where the column isn't protected."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A table as the relay knew it: how the rows of its changes are to be read."""

    schema: str
    name: str
    columns: tuple[LogColumn, ...]
    replica_identity: str
    misfit: str
    """As `Relation.misfit`: then there are no values, and this says why."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where in the stream a message is."""

    after: Position
    """The stream was here before the transaction."""
    part: int
    """Which part of the transaction it is, from 0."""
    kind: Literal["part", "cut", "commit", "watermark"]
    """Whether the transaction goes on (a cut: within a change), ends here, or there is none."""
    position: Position
    """Where the stream is then; of a transaction that goes on just beyond `after`."""
    xid: int = 0
    time: float = 0.0
    traceparent: str = ""


class LogEncoder:
    """Makes the messages of one relay, as its source brings the changes."""

    def __init__(self, head: LogHead, after: Position, part_bytes: int = PART_BYTES) -> None:
        """`after`: where the stream goes on. Where nothing was lost the log ends there."""
        self._head = orjson.dumps({"format": FORMAT, **asdict(head)})
        self.after = after
        """Where the stream is."""
        self._part_bytes = part_bytes
        self._layouts: dict[Relation, bytes] = {}
        self._used: dict[Relation, int] = {}
        """The layouts of the message that is being made, by their places in it."""
        self._records: list[bytes] = []
        self._size = 0
        self._part = 0

    def change(self, change: Change) -> list[bytes]:
        """Add a change to the transaction; the messages that are full by now."""
        full: list[bytes] = []
        values = _values(change)
        if self._records and self._size + len(values) > self._part_bytes:
            full.append(self._goes_on("part"))
        while len(values) > self._part_bytes:
            self._records.append(values[: self._part_bytes])
            full.append(self._goes_on("cut"))
            values = values[self._part_bytes :]
        record = values + self._form(change)
        self._records.append(record)
        self._size += len(record)
        return full

    def commit(self, commit: Commit) -> bytes:
        """The message that ends the transaction."""
        place = LogPlace(
            *(self.after, self._part, "commit", commit.position),
            *(commit.xid, commit.time, commit.traceparent),
        )
        message = self._message(place)
        self.after, self._part = commit.position, 0
        return message

    def watermark(self, position: Position) -> bytes:
        """The message that says: everything up to there is in the log. Between transactions."""
        message = self._message(LogPlace(self.after, 0, "watermark", position))
        self.after = position
        return message

    def _goes_on(self, kind: Literal["part", "cut"]) -> bytes:
        position = Position(self.after + 1)
        message = self._message(LogPlace(self.after, self._part, kind, position))
        self._part += 1
        return message

    def _message(self, place: LogPlace) -> bytes:
        layouts = RECORD.join(map(self._layout, self._used))
        records = RECORD.join(self._records)
        self._used, self._records, self._size = {}, [], 0
        return SECTION.join((self._head, _placed(place), layouts, records))

    def _form(self, change: Change) -> bytes:
        relation = change.relation
        form = (
            (change.kind << KIND_BITS)
            + (HAS_NEW if change.new is not None else 0)
            + (HAS_OLD if change.old is not None else 0)
            + (HAS_MARKS if change.has_unchanged else 0)
        )
        return b"%c%d" % (FIRST_FORM + form, self._used.setdefault(relation, len(self._used)))

    def _layout(self, relation: Relation) -> bytes:
        layout = self._layouts.get(relation)
        if layout is None:
            layout = self._layouts[relation] = _layout_text(layout_of(relation))
        return layout


def layout_of(relation: Relation) -> Layout:
    """How the log describes a relation."""
    of = relation.stands_for or relation
    columns = tuple(
        LogColumn(
            name=column.name,
            type=column.type.oid,
            declared=column.type.declared,
            in_identity=column.in_identity,
            protection=column.protection.digest if column.protection else "",
        )
        for column in relation.columns
    )
    return Layout(of.schema, of.name, columns, relation.replica_identity, relation.misfit)


def protected_columns(relation: Relation) -> dict[str, str]:
    """Those that leave the source in another way than they are there, by their names."""
    digests = {
        column.name: column.protection.digest for column in relation.columns if column.protection
    }
    return {**digests, **dict.fromkeys(relation.excluded, EXCLUDED)}


def _layout_text(layout: Layout) -> bytes:
    """Columns are lists: most of a small transaction is this."""
    columns = [[*asdict(column).values()] for column in layout.columns]
    return orjson.dumps({**asdict(layout), "columns": columns})


def _placed(place: LogPlace) -> bytes:
    return orjson.dumps(
        [
            *(place.after, place.part, place.kind, place.position),
            *(place.xid, place.time, place.traceparent),
        ]
    )


def read_head(text: bytes) -> LogHead:
    """What the first section says. Raises ValueError on another format."""
    said = orjson.loads(text)
    if said["format"] != FORMAT:
        raise ValueError(
            f"the log has format {said['format']}, and this daemon reads format {FORMAT}: run "
            "the version that the relay has"
        )
    return LogHead(said["source_id"], said["tables"], said["protected"])


def read_place(message: bytes) -> tuple[LogHead, LogPlace]:
    """What a message says but for changes. Raises ValueError where it is none."""
    head, place, _ = split_sections(message)
    return read_head(head), placed(place)


def split_sections(message: bytes) -> tuple[bytes, bytes, bytes]:
    """Head, place, and the rest. Raises ValueError where it is no message of a log."""
    sections = message.split(SECTION, 2)
    if len(sections) != 3:  # noqa: PLR2004 - as the line above splits
        raise ValueError(f"no message of an ordered log, of {len(message)} bytes")
    return sections[0], sections[1], sections[2]


def placed(text: bytes) -> LogPlace:
    """What the second section says."""
    return LogPlace(*orjson.loads(text))


def _values(change: Change) -> bytes:
    """Each value with what ends it: those of the new row, then those of the old one."""
    values: Row = [*(change.new or ()), *(change.old or ()), b""]
    if change.has_unchanged:
        values = [_marked(value) for value in values]
    return VALUE.join(values)  # type: ignore[arg-type]  # what isn't bytes has been marked


def _marked(value: Value) -> bytes:
    if value is UNCHANGED:
        return UNCHANGED_MARK
    if isinstance(value, Special):
        return SPECIAL_MARK + value + EXACT_MARK + value.exact
    if isinstance(value, Unreadable):
        raw = None if value.raw is None else value.raw.hex()
        return UNREADABLE_MARK + orjson.dumps([value.reason, value.explanation, raw])
    return value  # type: ignore[return-value]  # the marker is gone


def carried_on(
    before: LogHead | None, memberships: Mapping[str, str], after: Position
) -> dict[str, str]:
    """`LogHead.tables` of a relay that begins `after`, on a log whose last message has `before`.

    `memberships`: by table, what `Source.prepare` says of it. None: the log is empty, or what was
    committed since its end is lost.
    """
    known = {} if before is None else before.tables
    said = {}
    for table, membership in memberships.items():
        kept = known.get(table, "")
        goes_on = kept.rpartition(_SINCE)[0] == membership
        said[table] = kept if kept and goes_on else f"{membership}{_SINCE}{after}"
    return said


def whole_since(head: LogHead) -> Position:
    """Since when the log has no break: at one, all tables belong to it anew.

    There is one where the relay couldn't go on where the log ended: its slot or its history was
    lost, or the end of the log.
    """
    since = (int(text.rpartition(_SINCE)[2]) for text in head.tables.values())
    return Position(min(since, default=NOWHERE))


_SINCE: Final = " since "
