"""Schemas of Avro, compiled: bytes -> what JsonConverter would have written of them. Pure.

Kafka Connect's converters keep what a value means beside Avro's own types (`connect.name`); so a
compiled schema is also the one of Connect, as messages of JSON bring it along. Where a value was
written without Connect, Avro's logical types say what it means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cdc_daemon.values import read_json
from connectors.messages.avrobinary import (
    PRIMITIVES,
    AvroError,
    Encoded,
    base64_text,
    items,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectors.messages.debeziumvalues import Schema

MAGIC: Final = b"\0"
"""Begins what a schema registry knows the schema of: JSON doesn't begin so."""
_ID_BYTES: Final = 4
HEAD_BYTES: Final = 1 + _ID_BYTES
_CONNECT: Final = "org.apache.kafka.connect.data"
_DEBEZIUM: Final = "io.debezium.time"
_LOGICAL: Final = {
    "decimal": f"{_CONNECT}.Decimal",
    "date": f"{_CONNECT}.Date",
    "time-millis": f"{_CONNECT}.Time",
    "time-micros": f"{_DEBEZIUM}.MicroTime",
    "timestamp-millis": f"{_CONNECT}.Timestamp",
    "timestamp-micros": f"{_DEBEZIUM}.MicroTimestamp",
    "timestamp-nanos": f"{_DEBEZIUM}.NanoTimestamp",
    "local-timestamp-millis": f"{_CONNECT}.Timestamp",
    "local-timestamp-micros": f"{_DEBEZIUM}.MicroTimestamp",
    "local-timestamp-nanos": f"{_DEBEZIUM}.NanoTimestamp",
}
"""What Connect, or Debezium, calls the same meaning."""


class AvroType(NamedTuple):
    """One type, compiled."""

    read: Callable[[Encoded], Any]
    schema: Schema
    """As Kafka Connect has it."""


class AvroSchema:
    """One schema that a registry has."""

    def __init__(self, declared: str, referenced: Sequence[str] = ()) -> None:
        """`referenced`: schemas whose types it names, each after those that it needs itself.

        Raises AvroError.
        """
        compiler = _Compiler()
        try:
            for each in referenced:
                compiler.type_of(_parsed(each), "")
            self._type = compiler.type_of(_parsed(declared), "")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise AvroError(f"its schema can't be read: {error!r}") from error

    @property
    def schema(self) -> Schema:
        """As Kafka Connect has it."""
        return self._type.schema

    def read(self, octets: bytes) -> Any:
        """The value behind the id. Raises AvroError."""
        encoded = Encoded(octets, HEAD_BYTES)
        try:
            value = self._type.read(encoded)
        except RecursionError as error:
            raise AvroError("it is nested too deep") from error
        if encoded.left:
            raise AvroError(f"it has {encoded.left} bytes more than its schema says")
        return value


def schema_id(octets: bytes | None) -> int | None:
    """Which schema the registry knows it by; None where it isn't written so."""
    if octets is None or octets[:1] != MAGIC or len(octets) < HEAD_BYTES:
        return None
    return int.from_bytes(octets[1:HEAD_BYTES])


def _parsed(declared: str) -> Any:
    """A schema: JSON, or the bare name of a type."""
    return declared if declared in PRIMITIVES else read_json(declared.encode())


class _Compiler:
    """Of one schema: it knows the types that have names."""

    def __init__(self) -> None:
        self._named: dict[str, AvroType] = {}

    def type_of(self, declared: Any, namespace: str) -> AvroType:
        """Raises KeyError, TypeError or ValueError where it is no type."""
        if isinstance(declared, str):
            return self._called(declared, namespace)
        if isinstance(declared, list):
            return _union([self.type_of(one, namespace) for one in declared])
        if declared["type"] == "record":
            return self._record(declared, namespace)
        if (made := _NAMED.get(str(declared["type"]))) is not None:
            return self._named_as(declared, namespace, made(declared))
        return self._unnamed(declared, namespace)

    def _unnamed(self, declared: dict[str, Any], namespace: str) -> AvroType:
        """Of a list, of a map, or one that says more of another one."""
        match declared["type"]:
            case "array":
                return _array(self.type_of(declared["items"], namespace))
            case "map":
                return _map(self.type_of(declared["values"], namespace))
            case inner:
                found = self.type_of(inner, namespace)
                return found._replace(schema={**found.schema, **_meaning(declared)})

    def _called(self, name: str, namespace: str) -> AvroType:
        if name in PRIMITIVES:
            type_, read = PRIMITIVES[name]
            return AvroType(read, {"type": type_})
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        return self._named[full if full in self._named else name]

    def _record(self, declared: dict[str, Any], namespace: str) -> AvroType:
        """It is known before its fields are: they may be of itself."""
        fields: list[tuple[str, Callable[[Encoded], Any]]] = []
        schemas: list[Schema] = []

        def read(encoded: Encoded) -> dict[str, Any]:
            return {name: read_field(encoded) for name, read_field in fields}

        schema = {"type": "struct", "fields": schemas}
        made = self._named_as(declared, namespace, AvroType(read, schema))
        inside = _full_name(declared, namespace).rpartition(".")[0]
        for field in declared["fields"]:
            found = self.type_of(field["type"], inside)
            fields.append((field["name"], found.read))
            schemas.append({**found.schema, "field": field["name"]})
        return made

    def _named_as(self, declared: dict[str, Any], namespace: str, type_: AvroType) -> AvroType:
        name = _full_name(declared, namespace)
        type_.schema.update({"name": name, **_meaning(declared)})
        self._named[name] = type_
        return type_


def _full_name(declared: dict[str, Any], namespace: str) -> str:
    name: str = declared["name"]
    if "." in name:
        return name
    inside = declared.get("namespace", namespace)
    return f"{inside}.{name}" if inside else name


def _meaning(declared: Mapping[str, Any]) -> Schema:
    """The name and the parameters that Connect knows a type by."""
    logical = declared.get("logicalType")
    name = declared.get("connect.name") or _LOGICAL.get(str(logical))
    parameters = dict(declared.get("connect.parameters") or {})
    if logical == "decimal":
        parameters.setdefault("scale", str(declared.get("scale", 0)))
    said = {"name": name, "parameters": parameters}
    return {part: value for part, value in said.items() if value}


def _union(branches: Sequence[AvroType]) -> AvroType:
    """A value that may be null, mostly; of one that may be more nothing is said beforehand."""
    reads = [branch.read for branch in branches]
    some = [branch.schema for branch in branches if branch.schema["type"]]
    schema = {**(some[0] if len(some) == 1 else {"type": ""}), "optional": len(some) < len(reads)}

    def read(encoded: Encoded) -> Any:
        return reads[_index(encoded, len(reads))](encoded)

    return AvroType(read, schema)


def _index(encoded: Encoded, count: int) -> int:
    index = encoded.whole()
    if not 0 <= index < count:
        raise AvroError(f"it has choice {index} of {count}")
    return index


def _enum(declared: dict[str, Any]) -> AvroType:
    symbols = declared["symbols"]
    return AvroType(lambda encoded: symbols[_index(encoded, len(symbols))], {"type": "string"})


def _fixed(declared: dict[str, Any]) -> AvroType:
    size = int(declared["size"])
    return AvroType(lambda encoded: base64_text(encoded.take(size)), {"type": "bytes"})


def _array(item: AvroType) -> AvroType:
    return AvroType(
        lambda encoded: items(encoded, item.read), {"type": "array", "items": item.schema}
    )


def _map(value: AvroType) -> AvroType:
    def entry(encoded: Encoded) -> tuple[str, Any]:
        return text(encoded), value.read(encoded)

    return AvroType(
        lambda encoded: dict(items(encoded, entry)), {"type": "map", "values": value.schema}
    )


_NAMED: Final = {"enum": _enum, "fixed": _fixed}
"""Types that have names and no parts."""
