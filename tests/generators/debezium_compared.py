"""What our relay has written beside what Debezium has: the same, but for what can't be."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.generators.topics import Record

CONTEXT: Final = "__debezium.context."
"""Headers that say which of Debezium's own processes it was."""
OWN_TIMES: Final = ("ts_ms", "ts_us", "ts_ns")
"""In an envelope: when it was made."""

Event = dict[str, Any]


def events(records: Iterable[Record], prefix: str) -> list[Event]:
    """Records without what each program says of itself; `prefix` is that of their topics."""
    return [_event(record, prefix) for record in records]


def _event(record: Record, prefix: str) -> Event:
    headers = {k: _parsed(v, prefix) for k, v in record.headers if not k.startswith(CONTEXT)}
    return {
        "topic": record.topic.replace(prefix, "PREFIX"),
        "key": _parsed(record.key, prefix),
        "value": _without_own(_parsed(record.value, prefix)),
        "headers": headers,
    }


def _parsed(text: bytes | None, prefix: str) -> Any:
    """Pairs in their order: whoever prints a message sees it."""
    if text is None:
        return None
    return json.loads(text.replace(prefix.encode(), b"PREFIX"), parse_float=Decimal)


def _without_own(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = payload(value)
    if inner.get("source") is not None:
        for name in OWN_TIMES:
            del inner[name]
        del inner["source"]["version"]
    if inner.get("data_collections") is not None:  # as a hash map of Java has them
        inner["data_collections"].sort(key=lambda one: str(one["data_collection"]))
    return value


def payload(value: Any) -> Any:
    """Without the schema around it."""
    return value["payload"] if value.keys() == {"schema", "payload"} else value


def is_of(event: Event, transaction: int) -> bool:
    """Whether it says where a transaction begins or ends."""
    if not event["topic"].endswith(".transaction"):
        return False
    return str(payload(event["value"])["id"]).startswith(f"{transaction}:")


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where they differ, and how; the order of fields counts."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if list(ours) != list(theirs):
            return [f"{path}: fields {list(ours)}, Debezium's {list(theirs)}"]
        return [one for k in ours for one in differences(ours[k], theirs[k], f"{path}.{k}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [one for at, pair in pairs for one in differences(*pair, f"{path}[{at}]")]
    return [] if ours == theirs else [f"{path}: {ours!r}, Debezium's {theirs!r}"]
