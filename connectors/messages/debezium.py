"""The envelope of Debezium's connectors: `op`, `before`, `after`, `source`, `transaction`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.values import read_json
from connectors.messages.message import MessageError, Said, Transaction
from connectors.messages.paths import ABSENT
from connectors.messages.transactions import number_in
from connectors.messages.versions import number_at, number_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Change
    from connectors.messages.debeziumvalues import Schema
    from connectors.messages.message import Message, Parsed
    from connectors.messages.rows import Rows

WRITES: Final = frozenset("cru")
MICROSECONDS: Final = 1_000_000
MILLISECONDS: Final = 1000


class DebeziumReader:
    """Understands the envelope, for one table."""

    def __init__(self, rows: Rows, version: str, *, is_ordered: bool = True) -> None:
        """`is_ordered`: its messages come in one order, also those of different rows."""
        self.rows = rows
        self._version = version
        self._is_ordered = is_ordered

    def read(self, parsed: Parsed) -> Said | None:
        """What it says; a text without rows (`op` m) says nothing. Raises MessageError."""
        if parsed.message.value is None:
            return self._tombstone(parsed)
        envelope = parsed.value
        if not isinstance(envelope, dict) or "op" not in envelope:
            raise MessageError("no_envelope", "it is no envelope of Debezium: it has no `op`")
        operation, source = envelope["op"], envelope.get("source") or {}
        change = self._change(operation, envelope, parsed)
        if change is None:
            return None
        existing = operation == "r"
        version = self._version_of(source, parsed, existing=existing)
        return Said(
            (change,),
            version=version,
            time=time_of(source, parsed.message),
            transaction=transaction_of(envelope.get("transaction")),
            floor=version if existing and self._version == "lsn" else 0,
            lsn=_place_in_log(source) if self._version == "lsn" else 0,
            commit_before=_commit_before(source) if self._version == "lsn" else 0,
        )

    def _change(self, operation: Any, envelope: dict[str, Any], parsed: Parsed) -> Change | None:
        where, schemas = parsed.message.where, schemas_in(parsed.value_schema, "after")
        if operation in WRITES:
            return self.rows.upsert(field_of(envelope.get("after")), schemas, where)
        if operation == "d":
            return self._deleted(envelope.get("before"), parsed)
        return self._truncated() if operation == "t" else None

    def _truncated(self) -> Change:
        """It has no key: where it comes may be ahead of where that comes which it deletes."""
        if self._is_ordered:
            return self.rows.truncate()
        raise MessageError(
            "truncate_unordered",
            f"messages of table {self.rows.relation.qualified_name} come by several partitions or "
            "queues, so nobody knows which rows were there before this TRUNCATE, and documents of "
            "deleted rows stay. Delete rows by DELETE instead, or give the table one partition, or "
            "one queue; to have it right, have the connector take a new snapshot into new ones",
        )

    def _deleted(self, before: Any, parsed: Parsed) -> Change:
        where = parsed.message.where
        if isinstance(parsed.key, dict):
            return self.rows.delete(field_of(parsed.key), schemas_in(parsed.key_schema), where)
        schemas = schemas_in(parsed.value_schema, "before")
        return self.rows.delete(field_of(before), schemas, where)

    def _tombstone(self, parsed: Parsed) -> Said:
        """The delete came just before it; but where that was compacted away this is all there is.

        So it is at least as new as what came before it.
        """
        message = parsed.message
        schemas = schemas_in(parsed.key_schema)
        change = self.rows.delete(field_of(parsed.key), schemas, message.where)
        version = message.number if self._version == "arrival" else message.newest or 1
        return Said((change,), version=version, time=message.time)

    def _version_of(self, source: dict[str, Any], parsed: Parsed, *, existing: bool) -> int:
        """Of a change its place in the log, or the end of the commit before it, if that is later.

        A transaction that was open while existing rows were read has changes from before them that
        they don't show: so nothing that is streamed is older than they are.
        """
        if self._version == "arrival":
            return parsed.message.number
        if self._version != "lsn":
            return number_at(self._version, parsed)
        lsn = number_of(source.get("lsn"))
        if lsn is None:
            raise MessageError(
                "no_lsn", "its source block has no `lsn`: set `version: arrival` for this table"
            )
        return lsn if existing else max(_place_in_log(source), parsed.message.floor)


def field_of(row: Any) -> Callable[[str], Any]:
    """Gives the value of a column."""
    if not isinstance(row, dict):
        return lambda _: ABSENT
    return lambda name: row.get(name, ABSENT)


def schemas_in(schema: Schema | None, part: str = "") -> dict[str, Schema]:
    """Those of the fields, by their names; of a part of an envelope."""
    if schema is None:
        return {}
    fields = {str(one.get("field")): one for one in schema.get("fields") or ()}
    return schemas_in(fields.get(part)) if part else fields


def time_of(source: dict[str, Any], message: Message) -> float:
    """When it was committed; of a connector that doesn't say, when it was written."""
    microseconds, milliseconds = (number_of(source.get(name)) for name in ("ts_us", "ts_ms"))
    if microseconds is not None:
        return microseconds / MICROSECONDS
    return message.time if milliseconds is None else milliseconds / MILLISECONDS


def transaction_of(block: Any) -> Transaction | None:
    """That of an event: `{"id": "793:28635936", "total_order": 1, ...}`."""
    if not isinstance(block, dict) or not isinstance(block.get("id"), str):
        return None
    return Transaction(number_in(block["id"]), number_of(block.get("total_order")) or 0)


def _place_in_log(source: dict[str, Any]) -> int:
    return max(number_of(source.get("lsn")) or 0, _commit_before(source))


def _commit_before(source: dict[str, Any]) -> int:
    """The end of the last commit before it: `sequence` is a text of JSON, `["424","536"]`."""
    sequence = source.get("sequence")
    if not isinstance(sequence, str) or not sequence.startswith('["'):
        return 0
    try:
        return int(read_json(sequence.encode())[0])
    except (ValueError, LookupError, TypeError):
        return 0
