"""What Avro is written by: another library than the one that is tested, as Connect does it."""

from __future__ import annotations

import base64
import io
import json
from decimal import Decimal
from typing import Any, Final

from fastavro import parse_schema, schemaless_writer

from cdc_daemon.values.given import Digits

ID: Final = 7
AVRO_TYPES: Final = {
    "int8": "int",
    "int16": "int",
    "int32": "int",
    "int64": "long",
    "float32": "float",
    "float": "float",
    "double": "double",
    "boolean": "boolean",
    "string": "string",
    "bytes": "bytes",
}
"""Of Kafka Connect's."""


def written(schema: Any, value: Any, id_: int = ID) -> bytes:
    """A message as a registry's serializers write it."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(json.loads(json.dumps(schema))), value)
    return b"\0" + id_.to_bytes(4) + out.getvalue()


def avro_schema(connect: dict[str, Any], name: str = "Value") -> Any:
    """What Connect's Avro converter makes of one of its schemas."""
    type_ = connect["type"]
    if type_ == "struct":
        fields = [
            {"name": one["field"], "type": avro_schema(one, f"{name}_{one['field']}")}
            for one in connect["fields"]
        ]
        made: dict[str, Any] = {"type": "record", "name": name, "fields": fields}
    elif type_ == "array":
        made = {"type": "array", "items": avro_schema(connect["items"], f"{name}_item")}
    elif type_ == "map":
        made = {"type": "map", "values": avro_schema(connect["values"], f"{name}_value")}
    else:
        made = {"type": AVRO_TYPES[type_]}
    if "name" in connect:
        made["connect.name"] = connect["name"]
    if "parameters" in connect:
        made["connect.parameters"] = connect["parameters"]
    if connect.get("name") == "org.apache.kafka.connect.data.Decimal":
        made |= {"logicalType": "decimal", "precision": 4096, "scale": int(made_scale(connect))}
    return ["null", made] if connect.get("optional") else made


def made_scale(connect: dict[str, Any]) -> str:
    """Of a Decimal."""
    scale: str = connect["parameters"]["scale"]
    return scale


def avro_value(connect: dict[str, Any], value: Any) -> Any:
    """The value that JsonConverter has written, as it was before."""
    if value is None:
        return None
    if isinstance(value, dict):
        inner = {one["field"]: one for one in connect.get("fields", ())}
        return {
            name: avro_value(inner.get(name) or connect["values"], one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [avro_value(connect["items"], one) for one in value]
    if connect["type"] == "bytes":
        return base64.b64decode(value)
    return float(value) if connect["type"] in {"float", "float32", "double"} else value


def as_read(value: Any) -> Any:
    """A value of Python, as JSON has it with its numbers as `Digits`."""
    if isinstance(value, dict):
        return {name: as_read(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_read(one) for one in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return Digits(Decimal(value)) if isinstance(value, int) else value
