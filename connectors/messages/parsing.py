"""The bytes of a key or a value -> JSON, and its schema where one is known. Pure.

Either JSON, which Kafka Connect's converter may have wrapped with its schema, or Avro, whose schema
a registry has: each says by its first byte which it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.values import read_json
from connectors.messages.avro import MAGIC, schema_id
from connectors.messages.avrobinary import AvroError
from connectors.messages.message import MessageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.messages.avro import AvroSchema
    from connectors.messages.debeziumvalues import Schema

_WRAPPED: Final = frozenset({"schema", "payload"})


class Parser:
    """Of the messages of one source."""

    def __init__(self, schemas: Mapping[int, AvroSchema | MessageError] | None = None) -> None:
        """`schemas`: those of a registry, by their ids, or why one is of no use."""
        self._schemas = schemas

    def parsed(self, octets: bytes | None, part: str) -> tuple[Any, Schema | None]:
        """What it is; `part` is `key` or `value`. Raises MessageError."""
        if octets is None:
            return None, None
        if is_registered(octets):
            return self._registered(octets, part)
        try:
            return _unwrapped(read_json(octets))
        except ValueError as error:
            raise MessageError("no_json", f"its {part} is no JSON: {error}") from error

    def _registered(self, octets: bytes, part: str) -> tuple[Any, Schema | None]:
        schema = self._schema(octets, part)
        try:
            return schema.read(octets), schema.schema
        except AvroError as error:
            said = f"its {part} isn't what its schema says: {error}"
            raise MessageError("no_avro", said) from error

    def _schema(self, octets: bytes, part: str) -> AvroSchema:
        if self._schemas is None:
            raise MessageError(
                "no_registry",
                f"its {part} is no JSON, but something of which a schema registry has the schema, "
                "such as Avro: name that in `source.schema_registry` (of `type: kafka`)",
            )
        number = schema_id(octets)
        found = None if number is None else self._schemas.get(number)
        if found is None:
            said = f"its {part} has schema {number}, which the registry doesn't know"
            raise MessageError("unknown_schema", said)
        if isinstance(found, MessageError):
            raise MessageError(found.reason, f"its {part} has a schema of no use: {found}")
        return found


def is_registered(octets: bytes) -> bool:
    """Whether a registry has its schema. JSON doesn't begin so."""
    return octets[:1] == MAGIC


def _unwrapped(value: Any) -> tuple[Any, Schema | None]:
    """Without the schema that Kafka Connect's converter has put around it."""
    if isinstance(value, dict) and value.keys() == _WRAPPED:
        return value["payload"], value["schema"]
    return value, None
