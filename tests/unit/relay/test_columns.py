"""Every value that runs of the real Debezium have printed, as our relay writes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from cdc_daemon.events import Column, Relation
from cdc_daemon.values import SpecialValueError, watched_encoder
from connectors.kafka.relay.columns import Modes, kind_of
from connectors.kafka.relay.schemas import field
from connectors.kafka.relay.tables import Shape, TableRows
from connectors.messages.columntypes import column_type
from tests.generators.debezium_compared import differences
from tests.generators.debezium_types import Value
from tests.generators.debezium_values import Written, written_values

if TYPE_CHECKING:
    from cdc_daemon.events import ColumnType
    from cdc_daemon.events import Value as RowValue

MODES: Final = {
    "types-schemas": Modes(),
    "types-extensions-schemas": Modes(),
    "interval-string": Modes(interval="string"),
    "decimal-string-schemas": Modes(decimal="string"),
    "decimal-double-schemas": Modes(decimal="double"),
}
ONE_BIT: Final = frozenset({"bit", "bit[]"})
"""A catalog says of the first that it is bit(1), and Debezium takes the second for one bit."""
OTHER_SCHEMAS: Final = frozenset({"tsvector[]"})
"""Debezium's says that no element is null."""
LONG: Final = 20
"""What no integer of 64 bits has."""


def _written() -> list[Written]:
    found = []
    for written in written_values():
        try:
            column_type(written.type)
        except ValueError:  # one that a configuration can't name
            continue
        if written.mode in MODES and written.values and written.type not in ONE_BIT:
            found.append(written)
    return found


@pytest.mark.parametrize("written", _written(), ids=lambda one: f"{one.mode}-{one.type}")
def test_a_value_is_written_as_debezium_writes_it(written: Written) -> None:
    """Unless docs/reference/relay.md lists it."""
    type_, _ = column_type(written.type)
    column = Column("v", type_, nullable=True, in_identity=False)
    rows = TableRows(_relation(column), Shape("shop", MODES[written.mode], with_schemas=False))
    assert [
        (text, found, theirs)
        for text, theirs in written.values
        if not Value("v", written.type, text).is_known
        if differences(found := _value(rows, _streamed(type_, text)), theirs)
    ] == []


@pytest.mark.parametrize(
    "written",
    [one for one in _written() if one.type not in OTHER_SCHEMAS],
    ids=lambda one: f"{one.mode}-{one.type}",
)
def test_the_schema_is_the_one_of_debezium(written: Written) -> None:
    """With its fields in their order."""
    type_, _ = column_type(written.type)
    column = Column("v", type_, nullable=True, in_identity=False)
    found = field("v", kind_of(column, MODES[written.mode]).schema, optional=True)
    assert differences(found, {**(written.schema or {}), "field": "v"}) == []


def _relation(column: Column) -> Relation:
    return Relation("public", "t", (column,), ())


def _streamed(type_: ColumnType, text: str) -> RowValue:
    encode = watched_encoder(type_)
    try:
        return text.encode() if encode is None else encode(text.encode())
    except SpecialValueError as special:
        return special.value


def _value(rows: TableRows, value: RowValue) -> Any:
    """Numbers as doubles: where Debezium has those, ours may have more digits."""
    row = rows.careful_row([value])
    return json.loads(row, parse_int=lambda text: (float if len(text) > LONG else int)(text))["v"]
