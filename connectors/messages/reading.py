"""One message -> what it says of the rows of its tables. Pure.

Nothing is raised for a message: what can't be understood is a row that can't be read, which comes
to be a dead letter while the others go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from connectors.messages.debezium import DebeziumReader, transaction_of
from connectors.messages.events import EventReader
from connectors.messages.flattened import FlattenedReader
from connectors.messages.message import MessageError, Parsed, Said
from connectors.messages.parsing import Parser, is_registered
from connectors.messages.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Relation
    from connectors.messages.debeziumvalues import Schema
    from connectors.messages.formats import MessagesSection, MessageTable
    from connectors.messages.message import Message, Transaction

_DEFAULT_VERSIONS: Final = {"debezium": "lsn", "flattened": "arrival", "events": "arrival"}
TRACEPARENT: Final = "traceparent"


class FormatReader(Protocol):
    """Understands one format, for one table."""

    rows: Rows

    def read(self, parsed: Parsed) -> Said | None:
        """What it says; None where it says nothing. Raises MessageError."""


class TableReader:
    """Understands the messages of one table."""

    def __init__(
        self,
        relation: Relation,
        section: MessagesSection,
        table: MessageTable,
        parser: Parser | None = None,
        *,
        is_ordered: bool = True,
    ) -> None:
        """`is_ordered`: its messages come in one order, also those of different rows."""
        self.parser = parser or Parser()
        self._format = _format_reader(relation, section, table, is_ordered=is_ordered)
        format_ = table.format or section.format
        self._is_text = format_ == "events"
        self._has_envelope = format_ == "debezium"

    def read(self, message: Message) -> Said:
        """What it says; no changes where it says nothing."""
        try:
            parsed = self._parsed(message)
            said = self._format.read(parsed) or Said(transaction=self._transaction(message))
        except MessageError as error:
            explanation = f"{error}, in {message.where}"
            raw = message.value or message.key or b""
            change = self._format.rows.unreadable(error.reason, explanation, raw)
            transaction = self._transaction(message)
            return Said((change,), time=message.time, transaction=transaction, poison=error.reason)
        return said._replace(traceparent=_header(message, TRACEPARENT))

    def _transaction(self, message: Message) -> Transaction | None:
        """That of one that says nothing, or isn't understood: what it belongs to waits for it."""
        if not self._has_envelope:
            return None
        try:
            envelope, _ = self.parser.parsed(message.value, "value")
        except MessageError:
            return None
        return transaction_of(envelope.get("transaction")) if isinstance(envelope, dict) else None

    def _parsed(self, message: Message) -> Parsed:
        key, key_schema = self._key(message.key)
        value, value_schema = self.parser.parsed(message.value, "value")
        return Parsed(key, value, key_schema, value_schema, message)

    def _key(self, key: bytes | None) -> tuple[Any, Schema | None]:
        """Of events it may be a mere text."""
        try:
            return self.parser.parsed(key, "key")
        except MessageError:
            if self._is_text and key is not None and not is_registered(key):
                return key.decode(errors="replace"), None
            raise


class TopicReader:
    """Understands those of one topic: of one table, or of several that share it."""

    def __init__(
        self, readers: Sequence[TableReader], names: Sequence[str], *, is_shared: bool = False
    ) -> None:
        """`is_shared`: with tables besides that nobody reads."""
        self._readers = dict(zip(names, readers, strict=True))
        self._is_shared = is_shared or len(readers) > 1

    def read(self, message: Message) -> Said:
        """What it says. Of several tables the message itself says which one is meant."""
        first = next(iter(self._readers.values()))
        meant = _table_of(message, first.parser) if self._is_shared else None
        if meant is None:  # what can't be understood is unreadable as any of them
            return first.read(message)
        reader = self._readers.get(meant)
        return Said(time=message.time) if reader is None else reader.read(message)


def _table_of(message: Message, parser: Parser) -> str | None:
    """`public.hotel`, by the source block; empty where it is of none, None where that is unclear.

    That of a connector whose database has no schemas, as MySQL's, has the database in their place.
    The end of a row comes without one, and after an envelope that has said the same.
    """
    if message.value is None:
        return ""
    try:
        source = _source_of(message.value, parser)
        schema = source["schema"] if "schema" in source else source["db"]
        return f"{schema}.{source['table']}"
    except (ValueError, AttributeError, LookupError, TypeError, MessageError):
        return None


def _source_of(value: bytes, parser: Parser) -> Any:
    """JSON is looked at by what is fast: its digits are no matter."""
    if is_registered(value):
        return parser.parsed(value, "value")[0]["source"]
    envelope = orjson.loads(value)
    return (envelope.get("payload") or envelope)["source"]


def _format_reader(
    relation: Relation, section: MessagesSection, table: MessageTable, *, is_ordered: bool
) -> FormatReader:
    format_ = table.format or section.format
    version = table.version or _DEFAULT_VERSIONS[format_]
    if format_ == "events":
        return EventReader(Rows(relation, None), version, table)
    rows = Rows(relation, section.debezium.handling())
    if format_ == "flattened":
        return FlattenedReader(rows, version)
    return DebeziumReader(rows, version, is_ordered=is_ordered)


def _header(message: Message, name: str) -> str:
    value = message.headers.get(name)
    return "" if value is None else value.decode(errors="replace")
