"""Every value that runs of the real Debezium have printed, read back as PostgreSQL has it."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from cdc_daemon.events import Special
from cdc_daemon.values import SpecialValueError, watched_encoder
from connectors.messages.columntypes import column_type
from connectors.messages.formats import DebeziumConfig, MessagesSection, MessageTable
from connectors.messages.message import Message
from connectors.messages.reading import TableReader
from connectors.messages.tables import configured_relation
from tests.generators.debezium_values import Written, written_values

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType, Value

SETTINGS: Final[dict[str, dict[str, Any]]] = {"decimal-string": {"decimals": "string"}}
"""What messages without schemas don't say; the others of these are seen."""

LOST: Final = {
    "timetz": "the zone: the time is another one, in UTC",
    "interval": "days and months: all is one number of microseconds",
    "date[]": "years before 1",
    "time[]": "microseconds, and 24:00:00",
    "time-connect time": "microseconds",
    "time-connect timestamp": "microseconds",
    "time-isostring time": "24:00:00",
    "int2vector": "everything",
    "oidvector": "everything",
}
"""By type, or mode and type: what isn't in Debezium's messages any more."""

SEVERAL_DIMENSIONS: Final = re.compile(r"(\[[^=]*=)?\{\{")
"""Of such arrays Debezium writes as many nulls as the first dimension is long."""
BEYOND: Final = re.compile("29427[67]-")
"""Debezium's microseconds overflow, and PostgreSQL rounds into a year that it refuses."""


def _is_lost(written: Written) -> bool:
    bare = written.type.removesuffix("[]")
    return bool({written.type, bare, f"{written.mode} {bare}"} & LOST.keys())


def _readable() -> list[Written]:
    """Those of types that a configuration can name."""
    found = []
    for written in written_values():
        try:
            column_type(written.type)
        except ValueError:
            continue
        if written.values and not _is_lost(written):
            found.append(written)
    return found


@pytest.mark.parametrize("written", _readable(), ids=lambda one: f"{one.mode}-{one.type}")
def test_a_value_that_debezium_wrote_is_the_one_of_the_database(written: Written) -> None:
    """Unless Debezium itself has lost it."""
    type_, _ = column_type(written.type)
    reader = _reader(written)
    kept = [(text, value) for text, value in written.values if _is_kept(text, value)]
    found = [_read(reader, written, value) for _, value in kept]
    assert [_meant(one) for one in found] == [_meant(_streamed(type_, text)) for text, _ in kept]


def _is_kept(text: str, value: Any) -> bool:
    return (
        value is not None and BEYOND.match(text) is None and SEVERAL_DIMENSIONS.match(text) is None
    )


def _reader(written: Written) -> TableReader:
    config = MessageTable(key=["id"], columns={"id": "int", "v": written.type})
    section = MessagesSection(debezium=DebeziumConfig(**SETTINGS.get(written.mode, {})))
    return TableReader(configured_relation("public.t", config), section, config)


def _read(reader: TableReader, written: Written, value: Any) -> Value:
    row = {"id": 1, "v": value}
    envelope: dict[str, Any] = {"before": None, "after": row, "op": "c", "source": {"lsn": 7}}
    if written.schema is not None:
        fields = [{"type": "int32", "optional": False, "field": "id"}]
        fields.append({**written.schema, "field": "v"})
        after = {"type": "struct", "field": "after", "fields": fields}
        schema = {"type": "struct", "fields": [{**after, "field": "before"}, after]}
        envelope = {"schema": schema, "payload": envelope}
    message = Message(b'{"id":1}', json.dumps(envelope).encode(), "here", number=1, time=0.0)
    (change,) = reader.read(message).changes
    assert change.new is not None
    return change.new[1]


def _streamed(type_: ColumnType, text: str) -> Value:
    """What PostgreSQL's own stream makes of it."""
    encode = watched_encoder(type_)
    try:
        return text.encode() if encode is None else encode(text.encode())
    except SpecialValueError as special:
        return special.value


def _meant(value: Value) -> Any:
    """Without what numbers lose: zeros at their ends, and digits that no double holds."""
    if isinstance(value, Special):
        return value
    assert isinstance(value, bytes), value
    return _rounded(json.loads(value, parse_float=Decimal, parse_int=Decimal))


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(value) if isinstance(value, Decimal) else value
