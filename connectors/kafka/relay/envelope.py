"""Transactions of the source as Debezium's messages. Pure: the time is given.

What Debezium's PostgreSQL connector writes, field by field; what can't be the same is in
docs/reference/relay.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import orjson

from cdc_daemon.events import ChangeKind
from connectors.kafka.relay.conversions import NULL
from connectors.kafka.relay.schemas import (
    HEARTBEAT_KEY,
    HEARTBEAT_VALUE,
    TRANSACTION_KEY,
    TRANSACTION_VALUE,
    Wrapping,
)
from connectors.kafka.relay.tables import Shape, TableRows

if TYPE_CHECKING:
    from cdc_daemon.events import Begin, Change, Commit, Position, Relation, Row

Headers: TypeAlias = "list[tuple[str, str | bytes | None]] | None"

MILLISECOND: Final = 1000
"""Microseconds."""


class Message(NamedTuple):
    """What is written to Kafka."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = None


class Marks(NamedTuple):
    """What messages say of who wrote them."""

    version: str
    database: str


class _Table(NamedTuple):
    rows: TableRows
    source: bytes
    """The source block's beginning."""
    named: bytes
    """Its schema and table."""
    collection: str


class Envelopes:
    """Of one stream: the transaction that is being read, and the tables that were met."""

    def __init__(
        self,
        shape: Shape,
        marks: Marks,
        *,
        with_transactions: bool,
        with_tombstones: bool,
        with_truncates: bool,
    ) -> None:
        self._shape = shape
        self._marks = marks
        self._with_transactions = with_transactions
        self._with_tombstones = with_tombstones
        self._with_truncates = with_truncates
        self._tables: dict[Relation, _Table] = {}
        self._last_commit: Position | None = None
        self._begun: Begin | None = None
        self._times = self._number = self._sequence = b""
        self._counts: dict[str, int] = {}
        self._total = 0
        self.transaction_topic = f"{shape.prefix}.transaction"
        self.heartbeat_topic = f"__debezium-heartbeat.{shape.prefix}"
        schemas = shape.with_schemas
        self._keys = Wrapping(TRANSACTION_KEY if schemas else None)
        self._values = Wrapping(TRANSACTION_VALUE if schemas else None)
        self._heartbeat_keys = Wrapping(HEARTBEAT_KEY if schemas else None)
        self._heartbeat_values = Wrapping(HEARTBEAT_VALUE if schemas else None)

    def begin(self, begin: Begin) -> list[Message]:
        """A transaction begins; Debezium says so of each."""
        micros = round(begin.time * 1e6)
        self._begun = begin
        self._total = 0
        self._counts = {}
        self._times = b'"ts_us":%d,"ts_ns":%d000' % (micros, micros)
        self._number = b"%d" % begin.xid
        last = NULL if self._last_commit is None else rb"\"%d\"" % self._last_commit
        self._sequence = b'"ts_ms":%d,"snapshot":"false","db":%b,"sequence":"[%b,\\"' % (
            micros // MILLISECOND,
            orjson.dumps(self._marks.database),
            last,
        )
        if not self._with_transactions:
            return []
        return [self._transaction(begin.at, b'"BEGIN"', NULL, NULL)]

    def skip(self, commit: Commit) -> None:
        """The transaction ends, and nothing of it was ours."""
        self._last_commit = commit.position

    def commit(self, commit: Commit) -> list[Message]:
        """The transaction ends."""
        self._last_commit = commit.position
        if not self._with_transactions or self._begun is None:
            return []
        counts = orjson.dumps(
            [
                {"data_collection": name, "event_count": count}
                for name, count in self._counts.items()
            ]
        )
        return [self._transaction(commit.position, b'"END"', b"%d" % self._total, counts)]

    def _transaction(self, at: int, status: bytes, count: bytes, counts: bytes) -> Message:
        assert self._begun is not None  # noqa: S101 - only of one that has begun
        name = b'"%b:%d"' % (self._number, at)
        value = b'{"status":%b,"id":%b,"event_count":%b,"data_collections":%b,"ts_ms":%d}' % (
            status,
            name,
            count,
            counts,
            round(self._begun.time * 1e6) // MILLISECOND,
        )
        key = self._keys.wrap(b'{"id":%b}' % name)
        return Message(self.transaction_topic, key, self._values.wrap(value))

    def heartbeat(self, micros: int) -> Message:
        """A sign of life."""
        key = b'{"serverName":%b}' % orjson.dumps(self._shape.prefix)
        value = b'{"ts_ms":%d}' % (micros // MILLISECOND)
        return Message(
            self.heartbeat_topic,
            self._heartbeat_keys.wrap(key),
            self._heartbeat_values.wrap(value),
        )

    def existing(
        self, relation: Relation, row: Row, at: int, micros: int, *, careful: bool
    ) -> Message:
        """The message of a row that was there, as of a position. It is of no transaction."""
        table = self._tables.get(relation) or self._meet(relation)
        rows, wrapping = table.rows, table.rows.value_wrapping
        after = rows.careful_row(row) if careful else rows.row(row)
        seconds = b"%d" % (micros // MILLISECOND)
        value = (
            b'%b{"before":null,"after":%b,"source":{%b"ts_ms":%b,"snapshot":"true","db":%b,'
            b'"sequence":"[null,\\"%d\\"]","ts_us":%d,"ts_ns":%d000,%b,"txId":null,"lsn":%d,'
            b'"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"r",'
            b'"ts_ms":%b,"ts_us":%d,"ts_ns":%d000}%b'
        ) % (
            *(wrapping.before, after, table.source, seconds, orjson.dumps(self._marks.database)),
            *(at, micros, micros, table.named, at, seconds, micros, micros, wrapping.after),
        )
        return Message(rows.topic, rows.key(row), value)

    def change(self, change: Change, micros: int) -> list[Message]:
        """The messages of one change, at that time of ours: more than one where its key changed.

        None of a TRUNCATE that isn't wanted.
        """
        table = self._tables.get(change.relation) or self._meet(change.relation)
        kind, rows = change.kind, table.rows
        new, old = change.new, change.old
        if kind is ChangeKind.UPDATE and new is not None:
            if old is not None and rows.key_values(old) != rows.key_values(new):
                return self._moved(table, change, micros)
            before = NULL if old is None or not rows.keeps_old_rows else rows.old_row(old)
            after = rows.careful_row(new, old) if change.has_unchanged else rows.row(new)
            value = self._value(table, change.at, before, after, b"u", micros)
            return [Message(rows.topic, rows.key(new), value)]
        if kind is ChangeKind.INSERT and new is not None:
            after = rows.careful_row(new) if change.has_unchanged else rows.row(new)
            value = self._value(table, change.at, NULL, after, b"c", micros)
            return [Message(rows.topic, rows.key(new), value)]
        if kind is ChangeKind.DELETE and old is not None:
            value = self._value(table, change.at, rows.old_row(old), NULL, b"d", micros)
            return self._gone(table, rows.key(old), value, None)
        if not self._with_truncates:
            return []
        value = self._value(table, change.at, NULL, NULL, b"t", micros)
        return [Message(rows.topic, None, value)]

    def _moved(self, table: _Table, change: Change, micros: int) -> list[Message]:
        """Another key is another row to who reads by keys: the old one goes, a new one comes."""
        rows, old, new = table.rows, change.old, change.new
        assert old is not None  # noqa: S101 - it is how the change was found
        assert new is not None  # noqa: S101 - an update has one
        gone = self._value(table, change.at, rows.old_row(old), NULL, b"d", micros)
        after = rows.careful_row(new, old if rows.keeps_old_rows else None)
        come = self._value(table, change.at, NULL, after, b"c", micros)
        if not rows.has_key:
            both = self._value(table, change.at, rows.old_row(old), after, b"u", micros)
            return [Message(rows.topic, None, both)]
        return [
            *self._gone(table, rows.key(old), gone, [("__debezium.newkey", rows.bare_key(new))]),
            Message(rows.topic, rows.key(new), come, [("__debezium.oldkey", rows.bare_key(old))]),
        ]

    def _gone(
        self, table: _Table, key: bytes | None, value: bytes, headers: Headers
    ) -> list[Message]:
        deleted = Message(table.rows.topic, key, value, headers)
        if not self._with_tombstones:
            return [deleted]
        return [deleted, Message(table.rows.topic, key, None, headers)]

    def _value(
        self, table: _Table, at: int, before: bytes, after: bytes, op: bytes, micros: int
    ) -> bytes:
        block = self._block(table.collection, at) if self._with_transactions else NULL
        wrapping = table.rows.value_wrapping
        return (
            b'%b{"before":%b,"after":%b,"source":{%b%b%d\\"]",%b,%b,"txId":%b,"lsn":%d,'
            b'"xmin":null,"origin":null,"origin_lsn":null},"transaction":%b,"op":"%b",'
            b'"ts_ms":%d,"ts_us":%d,"ts_ns":%d000}%b'
        ) % (
            wrapping.before,
            before,
            after,
            table.source,
            self._sequence,
            at,
            self._times,
            table.named,
            self._number,
            at,
            block,
            op,
            micros // MILLISECOND,
            micros,
            micros,
            wrapping.after,
        )

    def _block(self, collection: str, at: int) -> bytes:
        self._total += 1
        order = self._counts[collection] = self._counts.get(collection, 0) + 1
        return b'{"id":"%b:%d","total_order":%d,"data_collection_order":%d}' % (
            self._number,
            at,
            self._total,
            order,
        )

    def _meet(self, relation: Relation) -> _Table:
        named = b'"schema":%b,"table":%b' % (
            orjson.dumps(relation.schema),
            orjson.dumps(relation.name),
        )
        source = b'"version":%b,"connector":"postgresql","name":%b,' % (
            orjson.dumps(self._marks.version),
            orjson.dumps(self._shape.prefix),
        )
        rows = TableRows(relation, self._shape)
        table = _Table(rows, source, named, relation.qualified_name)
        self._tables[relation] = table
        return table
