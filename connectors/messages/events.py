"""Events of an application: which row they mean, and what it is from now on. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.messages.debezium import schemas_in
from connectors.messages.message import MessageError, Said
from connectors.messages.paths import ABSENT, JsonPath, read_path
from connectors.messages.versions import number_at, roots_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connectors.messages.debeziumvalues import Schema
    from connectors.messages.formats import MessageTable
    from connectors.messages.message import Parsed
    from connectors.messages.rows import Rows


class EventReader:
    """Understands those of one table."""

    def __init__(self, rows: Rows, version: str, table: MessageTable) -> None:
        self.rows = rows
        self._version = version
        self._key = frozenset(table.key)
        self._paths = {
            column: read_path(table.fields[column])
            if column in table.fields
            else JsonPath("$", (column,))
            for column in table.columns
        }
        self._operation = table.operation
        self._operation_at = None if table.operation is None else read_path(table.operation.at)

    def read(self, parsed: Parsed) -> Said | None:
        """The row, or its end; None where the event says nothing of it. Raises MessageError."""
        message, roots = parsed.message, roots_of(parsed)
        deletes = message.value is None
        if not deletes and self._operation is not None and self._operation_at is not None:
            found = self._operation_at.of(roots)
            if found is ABSENT:
                said = f"there is nothing at {self._operation.at}, where it says what it is"
                raise MessageError("no_operation", said)
            if str(found) in self._operation.ignore:
                return None
            deletes = str(found) in self._operation.delete
        make = self.rows.delete if deletes else self.rows.upsert
        field = self._field(roots, gone=message.value is None)
        change = make(field, self._schemas(parsed), message.where)
        return Said((change,), version=self._version_of(parsed), time=message.time)

    def _schemas(self, parsed: Parsed) -> dict[str, Schema]:
        """What is said of the value of each column, where messages come with schemas."""
        if parsed.value_schema is None and parsed.key_schema is None:
            return {}
        roots = {"$": parsed.value_schema, "key": parsed.key_schema}
        found = {
            column: schema_at(roots.get(path.root), path.steps)
            for column, path in self._paths.items()
        }
        return {column: schema for column, schema in found.items() if schema is not None}

    def _field(self, roots: dict[str, Any], *, gone: bool) -> Callable[[str], Any]:
        """Gives the value of a column; of what has no value any more, out of the key."""

        def field(column: str) -> Any:
            found = self._paths[column].of(roots)
            if found is ABSENT and gone and column in self._key:
                return self._in_key(column, roots["key"])
            return found

        return field

    def _in_key(self, column: str, key: Any) -> Any:
        if isinstance(key, dict):
            return key.get(column, ABSENT)
        return key if len(self._key) == 1 and key is not None else ABSENT

    def _version_of(self, parsed: Parsed) -> int:
        message = parsed.message
        if self._version == "arrival":
            return message.number
        if message.value is None:
            return message.newest or 1
        return number_at(self._version, parsed)


def schema_at(schema: Schema | None, steps: Sequence[str | int]) -> Schema | None:
    """What is said of the value at a path; None where nothing is."""
    for step in steps:
        if schema is None:
            return None
        if isinstance(step, int):
            schema = schema.get("items")
        elif "values" in schema:
            schema = schema["values"]
        else:
            schema = schemas_in(schema).get(step)
    return schema
