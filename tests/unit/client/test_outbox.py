"""What the client writes into an outbox: rows as JSON, before the transaction commits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.client import ClientError, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence


class Color(Enum):
    """One of an application's."""

    RED = "red"


class Connection:
    """Keeps what it is told to run; it is its own cursor."""

    def __init__(self) -> None:
        self.ran: list[Sequence[Any]] = []

    def cursor(self) -> Connection:
        """Itself."""
        return self

    def execute(self, operation: str, parameters: Sequence[Any]) -> None:
        """Keep the values."""
        assert operation.startswith('insert into "cdc_daemon".change ')
        self.ran.append(parameters)

    def close(self) -> None:
        """Nothing to release."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"abc", "\\x616263"),
        (memoryview(b"\x00\xff"), "\\x00ff"),
        (Color.RED, "red"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (Decimal("1.50"), "1.50"),
        (Decimal("NaN"), "NaN"),
        (timedelta(days=1, seconds=2), "P1DT2.000000S"),
        (datetime(2026, 5, 1, 12, tzinfo=UTC), "2026-05-01T12:00:00+00:00"),
        (["x", None, {"a": b"b"}], ["x", None, {"a": "\\x62"}]),
    ],
)
def test_values_are_what_the_server_reads(value: Any, expected: Any) -> None:
    """In rows and keys: as PostgreSQL writes them, and in JSON that it takes."""
    connection = Connection()
    outbox.add(connection, "hotel", row={"id": 1, "v": value}, key={"v": value})
    [(table, kind, row, key)] = connection.ran
    assert (table, kind) == ("hotel", "U")
    assert json.loads(row, parse_constant=pytest.fail) == {"id": 1, "v": expected}
    assert json.loads(key, parse_constant=pytest.fail) == {"v": expected}


def test_a_value_that_nobody_reads_is_refused() -> None:
    """Before anything is written: it would be a text that means nothing."""
    connection = Connection()
    with pytest.raises(ClientError, match="a object has no form in JSON"):
        outbox.add(connection, "hotel", row={"id": object()})
    assert connection.ran == []
