"""The rows of one table as Debezium's keys and rows: compiled once, then filled. Pure.

A row is one bytes template filled with its values, as documents are (`projection/document.py`);
values that Debezium writes in another way are converted first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import orjson

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import UNCHANGED, Special, Unreadable
from connectors.kafka.relay.columns import kind_of, topic_name
from connectors.kafka.relay.conversions import NULL
from connectors.kafka.relay.schemas import Wrapping, envelope, field, struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Column, Relation, Row, Value
    from cdc_daemon.values import Encoder
    from connectors.kafka.relay.columns import Kind, Modes


class Shape(NamedTuple):
    """What all tables have in common."""

    prefix: str
    """What the names of topics begin with: Debezium's `topic.prefix`."""
    modes: Modes
    with_schemas: bool


class TableRows:
    """Keys and rows of one relation."""

    def __init__(self, relation: Relation, shape: Shape) -> None:
        self.relation = relation
        self.topic = topic_name(shape.prefix, relation.schema, relation.name)
        kinds = [kind_of(column, shape.modes) for column in relation.columns]
        self._kinds = kinds
        self._key_places = [relation.index_of(name) for name in relation.key]
        self.has_key = bool(self._key_places)
        self._template = _template(relation.columns)
        self._converted = _conversions(kinds, range(len(kinds)))
        self._key_template = _template([relation.columns[at] for at in self._key_places])
        self._key_kinds = [(at, kinds[at]) for at in self._key_places]
        row, key = self._schemas(kinds)
        self.value_wrapping = Wrapping(envelope(row, self.topic) if shape.with_schemas else None)
        self._key_wrapping = Wrapping(key if shape.with_schemas else None)
        self.keeps_old_rows = relation.replica_identity == "full"

    def _schemas(self, kinds: Sequence[Kind]) -> tuple[dict[str, object], dict[str, object]]:
        columns = self.relation.columns
        fields = [
            field(column.name, kind.schema, optional=self._is_optional(at))
            for at, (column, kind) in enumerate(zip(columns, kinds, strict=True))
        ]
        key = [field(columns[at].name, kinds[at].schema, optional=False) for at in self._key_places]
        return struct(fields, f"{self.topic}.Value"), struct(key, f"{self.topic}.Key")

    def _is_optional(self, at: int) -> bool:
        return self.relation.columns[at].nullable and at not in self._key_places

    def key_values(self, row: Row) -> list[Value]:
        """What tells the row from others: two rows with the same are the same."""
        return [row[at] for at in self._key_places]

    def key(self, row: Row) -> bytes | None:
        """The key of a message; None of a table that has none."""
        if not self.has_key:
            return None
        return self._key_wrapping.wrap(self.bare_key(row))

    def bare_key(self, row: Row) -> bytes:
        """The key without its schema."""
        values = [_careful(kind, row[at]) for at, kind in self._key_kinds]
        return self._key_template % tuple(values)

    def row(self, row: Row) -> bytes:
        """A row that holds neither `UNCHANGED` nor anything special."""
        values = row
        if self._converted:
            values = row.copy()
            for at, convert in self._converted:
                value = cast("bytes", row[at])
                if value != NULL:
                    values[at] = _converted(convert, value)
        return self._template % tuple(values)

    def careful_row(self, row: Row, before: Row | None = None) -> bytes:
        """Any row; `before` is that of before, where it has what this one leaves out."""
        values = [
            _careful(kind, before[at] if value is UNCHANGED and before is not None else value)
            for at, (kind, value) in enumerate(zip(self._kinds, row, strict=True))
        ]
        return self._template % tuple(values)

    def old_row(self, row: Row) -> bytes:
        """A row of before, which may have nothing but the key: what is never null isn't here."""
        values = [
            kind.zero
            if value == NULL and not (self.keeps_old_rows or self._is_optional(at))
            else _careful(kind, value)
            for at, (kind, value) in enumerate(zip(self._kinds, row, strict=True))
        ]
        return self._template % tuple(values)


def _template(columns: Sequence[Column]) -> bytes:
    slots = (orjson.dumps(column.name).replace(b"%", b"%%") + b":%b" for column in columns)
    return b"{" + b",".join(slots) + b"}"


def _conversions(
    kinds: Sequence[Kind], places: range
) -> list[tuple[int, Callable[[bytes], bytes]]]:
    found = ((at, kinds[at].convert) for at in places)
    return [(at, convert) for at, convert in found if convert is not None]


def _careful(kind: Kind, value: Value) -> bytes:
    if isinstance(value, Special):
        convert: Encoder | None = kind.special or kind.convert
        return value.exact if convert is None else _converted(convert, value.exact)
    if isinstance(value, bytes):
        return value if kind.convert is None or value == NULL else _converted(kind.convert, value)
    if isinstance(value, Unreadable):
        return _unreadable(kind, value)
    return kind.not_sent


def _converted(convert: Encoder, value: bytes) -> bytes:
    """Null where there is no number for it: a year that the server rounds to, and never reads."""
    try:
        return convert(value)
    except RejectedError:
        return NULL


def _unreadable(kind: Kind, value: Unreadable) -> bytes:
    """A text that isn't UTF-8, with marks in the place of what can't be read."""
    if kind.schema["type"] != "string" or value.raw is None:
        return NULL
    return orjson.dumps(value.raw.decode(errors="replace"))
