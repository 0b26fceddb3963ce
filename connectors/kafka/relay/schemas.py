"""The Connect schemas of Debezium's messages, for who reads them beside the payload. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_FIRST: Final = ("type", "fields", "items")
"""What Connect writes before `optional`."""


def ordered(schema: Mapping[str, Any], *, optional: bool) -> dict[str, Any]:
    """The schema, with its keys in the order in which Connect writes them."""
    first = {key: schema[key] for key in _FIRST if key in schema}
    rest = {key: value for key, value in schema.items() if key not in {*_FIRST, "optional"}}
    return {**first, "optional": optional, **rest}


def field(name: str, schema: Mapping[str, Any], *, optional: bool) -> dict[str, Any]:
    """A field of a struct."""
    return {**ordered(schema, optional=optional), "field": name}


def _plain(type: str, name: str, *, optional: bool = False) -> dict[str, Any]:  # noqa: A002 - as Connect calls it
    return {"type": type, "optional": optional, "field": name}


def struct(
    fields: Iterable[Mapping[str, Any]], name: str, version: int | None = None
) -> dict[str, Any]:
    """A struct that is there."""
    numbered = {} if version is None else {"version": version}
    return {"type": "struct", "fields": list(fields), "optional": False, "name": name, **numbered}


_SNAPSHOT: Final = {
    "type": "string",
    "optional": True,
    "name": "io.debezium.data.Enum",
    "version": 1,
    "parameters": {
        "allowed": "true,first,first_in_data_collection,last_in_data_collection,last,false,"
        "incremental"
    },
    "default": "false",
    "field": "snapshot",
}

_SOURCE: Final = struct(
    [
        _plain("string", "version"),
        _plain("string", "connector"),
        _plain("string", "name"),
        _plain("int64", "ts_ms"),
        _SNAPSHOT,
        _plain("string", "db"),
        _plain("string", "sequence", optional=True),
        _plain("int64", "ts_us", optional=True),
        _plain("int64", "ts_ns", optional=True),
        _plain("string", "schema"),
        _plain("string", "table"),
        _plain("int64", "txId", optional=True),
        _plain("int64", "lsn", optional=True),
        _plain("int64", "xmin", optional=True),
        _plain("string", "origin", optional=True),
        _plain("int64", "origin_lsn", optional=True),
    ],
    "io.debezium.connector.postgresql.Source",
    1,
)

_BLOCK: Final = struct(
    [
        _plain("string", "id"),
        _plain("int64", "total_order"),
        _plain("int64", "data_collection_order"),
    ],
    "event.block",
    1,
)

_COUNT: Final = {
    **struct(
        [_plain("string", "data_collection"), _plain("int64", "event_count")],
        "event.collection",
        1,
    ),
    "optional": True,
}

TRANSACTION_KEY: Final = struct(
    [_plain("string", "id")], "io.debezium.connector.common.TransactionMetadataKey", 1
)
TRANSACTION_VALUE: Final = struct(
    [
        _plain("string", "status"),
        _plain("string", "id"),
        _plain("int64", "event_count", optional=True),
        {"type": "array", "items": _COUNT, "optional": True, "field": "data_collections"},
        _plain("int64", "ts_ms"),
    ],
    "io.debezium.connector.common.TransactionMetadataValue",
    1,
)
HEARTBEAT_KEY: Final = struct(
    [_plain("string", "serverName")], "io.debezium.connector.common.ServerNameKey", 1
)
HEARTBEAT_VALUE: Final = struct(
    [_plain("int64", "ts_ms")], "io.debezium.connector.common.Heartbeat", 1
)


def envelope(row: Mapping[str, Any], topic: str) -> dict[str, Any]:
    """What surrounds the rows of a topic."""
    return struct(
        [
            field("before", row, optional=True),
            field("after", row, optional=True),
            field("source", _SOURCE, optional=False),
            field("transaction", _BLOCK, optional=True),
            _plain("string", "op"),
            _plain("int64", "ts_ms", optional=True),
            _plain("int64", "ts_us", optional=True),
            _plain("int64", "ts_ns", optional=True),
        ],
        f"{topic}.Envelope",
        2,
    )


class Wrapping:
    """What stands before and after a payload: its schema, or nothing."""

    def __init__(self, schema: Mapping[str, Any] | None) -> None:
        self.before = b""
        self.after = b""
        if schema is not None:
            self.before = b'{"schema":%b,"payload":' % orjson.dumps(schema)
            self.after = b"}"

    def wrap(self, payload: bytes) -> bytes:
        """The payload with its schema."""
        return self.before + payload + self.after
