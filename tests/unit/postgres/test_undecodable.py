"""When another attempt at what the server fails to decode is of no use."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import SourceError
from cdc_daemon.events import Position
from connectors.postgres.undecodable import MOST_IN_A_ROW, Attempts, UndecodableError, passes


def fail(attempts: Attempts, after: int, times: int) -> None:
    """The server fails so often, from there on."""
    for _ in range(times):
        attempts.began(Position(after))
        attempts.failed(UndecodableError("could not open toast relation with OID 1"))


def test_what_has_come_further_is_tried_again() -> None:
    """Only attempts in a row from one position count."""
    attempts = Attempts()
    fail(attempts, 10, MOST_IN_A_ROW - 1)
    fail(attempts, 11, MOST_IN_A_ROW - 1)
    with pytest.raises(SourceError, match=r"from 0/B on, 10 times in a row: could not open toast"):
        fail(attempts, 11, 1)


@pytest.mark.parametrize(
    ("sqlstate", "well"),
    [
        (None, True),
        ("08006", True),
        ("40001", True),
        ("53100", True),
        ("57P01", True),
        ("58030", True),
        ("58P01", False),
        ("XX000", False),
        ("XX001", False),
        ("0A000", False),
    ],
)
def test_what_passes_by_itself(sqlstate: str | None, *, well: bool) -> None:
    """Cut off, in conflict, short of room, shut down, a disk that doesn't answer: those do."""
    assert passes(sqlstate) == well
