"""From rows that a poll reads, and what is remembered of them, to changes.

Rows may be read again that have been given already: then they are as they are remembered.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import ConfigurationError, RejectedError
from cdc_daemon.events import Change, ChangeKind
from cdc_daemon.values import Encoder, canonical_key
from connectors.polling.kept import GONE, digest_of, key_of
from connectors.postgres.copytext import read_line
from connectors.postgres.rowplan import column_plans
from connectors.postgres.tupleplan import tolerant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cdc_daemon.events import Relation, Row, Value
    from connectors.polling.kept import Known
    from connectors.polling.memory import Memory
    from connectors.polling.seen import Seen

_NULL: Final = b"null"


class Given(Enum):
    """Which rows a poll gives."""

    OTHER = auto()
    """Those that aren't as they are remembered."""
    NEW = auto()
    """Those that are new: not everything is remembered yet."""
    NEW_OR_OTHER = auto()
    """Both: somebody may have read a new row as it was before it became what is remembered."""


class Line(NamedTuple):
    """A row as a poll reads it."""

    text: bytes
    """Its columns as COPY writes them, without the end of the line."""
    gone: bool
    """Whether it counts as deleted."""
    new: bool
    """Whether it may be written later than what is remembered of the table."""


def read_lines(lines: Iterable[bytes]) -> list[Line]:
    """The lines of COPY for the statement `choosing.rows`: two flags are behind the columns."""
    found = []
    for line in lines:
        text, gone, new = line.rsplit(b"\t", 2)
        found.append(Line(text, gone == b"t", new == b"t\n"))
    return found


class Keys:
    """What rows of a table are known by, from their values."""

    def __init__(self, relation: Relation) -> None:
        self._relation = relation
        self.places = [relation.index_of(name) for name in relation.primary_key]
        self._canonical = [_canonical(relation, place) for place in self.places]

    def of(self, key: Sequence[Value]) -> tuple[bytes, bytes]:
        """What a row is remembered by, and the values of its key, which are given alone."""
        values = [_known(value) for value in key]
        canonical = [
            encode(value) if encode else value
            for encode, value in zip(self._canonical, values, strict=True)
        ]
        return key_of(canonical), b"\n".join(values)

    def old_row(self, values: bytes) -> Row:
        """A row with these values of the key, and no others."""
        row: Row = [_NULL] * len(self._relation.columns)
        for place, value in zip(self.places, values.split(b"\n"), strict=True):
            row[place] = value
        return row


class Decoder:
    """From lines of COPY to the rows of a relation."""

    def __init__(self, relation: Relation) -> None:
        self.keys = Keys(relation)
        self._plans = column_plans(relation.columns)
        self._tolerant = tolerant(self._plans)
        self._key_plans = tuple(self._tolerant[place] for place in self.keys.places)

    def key(self, text: bytes) -> tuple[bytes, bytes]:
        """The key of a row, and the values of its key, without decoding the rest."""
        fields = text.split(b"\t")
        key = b"\t".join([fields[place] for place in self.keys.places])
        return self.keys.of(read_line(key + b"\n", self._key_plans))

    def row(self, text: bytes) -> tuple[Row, bool]:
        """The row, and whether it has values that are no JSON."""
        try:
            return read_line(text + b"\n", self._plans), False
        except RejectedError:
            return read_line(text + b"\n", self._tolerant), True


class Differences:
    """Of one table, while a poll reads it."""

    def __init__(self, relation: Relation, memory: Memory, seen: Seen, given: Given) -> None:
        self._relation = relation
        self._memory = memory
        self._seen = seen
        self._gives_new = given is not Given.OTHER
        self._gives_other = given is not Given.NEW
        self._decoder = Decoder(relation)
        self.table = memory.table(relation.qualified_name)

    def of(self, lines: Sequence[Line]) -> list[Change]:
        """What these rows change; they are remembered as they are now."""
        keyed = [(*self._decoder.key(line.text), line) for line in lines]
        known = self._memory.known(self.table, [key for key, _, _ in keyed])
        self._seen.add(was.number for was in known.values())
        put: list[tuple[bytes, bytes, bytes]] = []
        given: list[tuple[bytes, bytes]] = []
        changes: list[Change] = []
        for key, values, line in keyed:
            was = known.get(key)
            digest = GONE if line.gone else digest_of(line.text)
            same = was is not None and (was.digest, was.values) == (digest, values)
            if not same:
                put.append((key, digest, values))
            if (self._gives_new and line.new) or (self._gives_other and not same):
                given.append((key, values))
                changes.append(self._change(line, values, was))
        self._memory.put(self.table, put)
        self._memory.give(self.table, given)
        return changes

    def gone(self, rows: Iterable[Known]) -> list[Change]:
        """That these rows are there no longer."""
        rows = list(rows)
        self._memory.give(self.table, [(row.key, row.values) for row in rows])
        return [self._delete(row.values) for row in rows]

    def _change(self, line: Line, values: bytes, was: Known | None) -> Change:
        if line.gone:
            return self._delete(values)
        row, is_partly = self._decoder.row(line.text)
        rewritten = was is not None and was.values != values
        old = self._decoder.keys.old_row(was.values) if was and rewritten else None
        return Change(self._relation, ChangeKind.UPDATE, row, old, is_partly)

    def _delete(self, values: bytes) -> Change:
        old = self._decoder.keys.old_row(values)
        return Change(self._relation, ChangeKind.DELETE, None, old)


def _canonical(relation: Relation, place: int) -> Encoder | None:
    try:
        return canonical_key(relation.columns[place].type)
    except ConfigurationError:
        return None  # equal values may be two, and then one is deleted and the other written


def _known(value: Value) -> bytes:
    return value if isinstance(value, bytes) else _NULL
