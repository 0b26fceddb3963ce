"""What a read that is one snapshot may claim to have brought."""

from __future__ import annotations

import pytest

from cdc_daemon.events import Position
from connectors.postgres.claiming import position_of_read


@pytest.mark.parametrize(
    ("before", "end", "quiet", "position"),
    [
        (800, 1000, True, 1000),
        (800, 1000, False, 992),  # a commit whose token is 1000 may not be visible yet
        (992, 1000, False, 993),  # the log stands still: the same claim
        (998, 1000, False, 999),
        (999, 1000, False, None),  # the next would claim 1000
        (999, 1000, True, 1000),
        (1000, 1000, True, 1001),
        (1007, 1000, True, None),
        (1007, 1008, False, None),
        (1007, 1016, False, 1008),
    ],
)
def test_a_read_claims_no_token_that_may_not_have_come(
    before: int, end: int, *, quiet: bool, position: int | None
) -> None:
    """Its position is above the one before, and below the next token."""
    assert position_of_read(Position(before), Position(end), quiet=quiet) == position
