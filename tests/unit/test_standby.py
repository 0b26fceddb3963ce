"""When a standby takes over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_daemon.events import Checkpoint, Position
from cdc_daemon.standby import FREE_SECONDS, STARTING_SECONDS, Turn

THEIRS = Checkpoint("pipe", Position(100), "system/1", owner="they")


@pytest.mark.parametrize(
    "kept",
    [
        None,
        replace(THEIRS, owner=""),
        replace(THEIRS, owner="we"),
        replace(THEIRS, written=Position(90)),
    ],
    ids=["first start", "of a version that knew no owners", "ours", "ended in order"],
)
def test_at_once_where_nobody_can_be_there(kept: Checkpoint | None) -> None:
    """Nobody runs the pipeline, or it is us."""
    assert Turn("we").has_come(kept, held=False, now=0)


def test_soon_after_who_was_at_work_is_gone() -> None:
    """It may only be connecting again; when it is back, all begins anew."""
    turn = Turn("we")
    assert not turn.has_come(THEIRS, held=True, now=0)
    assert not turn.has_come(THEIRS, held=False, now=1)
    assert not turn.has_come(THEIRS, held=True, now=1 + FREE_SECONDS)
    assert not turn.has_come(THEIRS, held=False, now=10)
    assert turn.has_come(THEIRS, held=False, now=10 + FREE_SECONDS)


def test_late_where_an_owner_may_be_starting() -> None:
    """Nobody has seen it at work: it makes indices and a slot, perhaps. Another one begins anew."""
    turn = Turn("we")
    assert not turn.has_come(THEIRS, held=False, now=0)
    assert not turn.has_come(THEIRS, held=False, now=STARTING_SECONDS - 1)
    other = replace(THEIRS, owner="others")
    assert not turn.has_come(other, held=False, now=STARTING_SECONDS)
    assert turn.has_come(other, held=False, now=2 * STARTING_SECONDS)
