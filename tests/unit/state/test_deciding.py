"""What a start does with the state that it finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_daemon.events import Position
from cdc_daemon.state import GoOn, Rebuild
from cdc_daemon.state.deciding import decide, reason_not_to_open
from cdc_daemon.state.mark import FORMAT, Mark
from tests.generators.states import here

BOOT = "boot-1"
MARK = Mark(FORMAT, "pipe", "state-1", "source-1", BOOT, clean=True, file_bytes=100)
UNCLEAN = replace(MARK, clean=False)


def test_a_trusted_file_is_opened() -> None:
    """One that was closed, after any boot; one that wasn't, after a crash of the daemon alone."""
    assert reason_not_to_open(MARK, here(boot="boot-2"), 100) is None
    assert reason_not_to_open(UNCLEAN, here(boot=BOOT), 200) is None


@pytest.mark.parametrize(
    ("mark", "boot", "size", "reason"),
    [
        (None, BOOT, 0, "its folder was lost"),
        (replace(MARK, lost="it was asked for"), BOOT, 100, "it was asked for"),
        (replace(MARK, format=FORMAT + 1), BOOT, 100, "another version"),
        (replace(MARK, pipeline="other"), BOOT, 100, "another pipeline, other"),
        (UNCLEAN, "boot-2", 100, "the machine went down"),
        (MARK, BOOT, 99, "was cut: it has 99 bytes, it had 100"),
    ],
)
def test_a_file_that_can_not_be_trusted_is_not_opened(
    mark: Mark | None, boot: str, size: int, reason: str
) -> None:
    """The reason is said in words."""
    found = reason_not_to_open(mark, here("state-1", boot=boot), size)
    assert found is not None
    assert reason in found


def test_an_unknown_boot_is_another_one() -> None:
    """Where the machine doesn't say, an unclean state is given up."""
    unknown = replace(here(boot=BOOT), boot_id="")
    assert reason_not_to_open(replace(UNCLEAN, boot_id=""), unknown, 100) is not None
    assert reason_not_to_open(MARK, unknown, 100) is None


def test_the_first_start_is_no_loss() -> None:
    """There is no checkpoint that names a state."""
    found = reason_not_to_open(None, here(), 0)
    assert found == "there is no state: this is the first start"


@pytest.mark.parametrize(
    ("position", "place", "checkpoint", "ask_from"),
    [
        (50, 50, 50, 50),  # a clean stop
        (70, 50, 50, 50),  # applied and not yet in the sink: pending documents are made again
        (70, 50, 60, 60),  # the slot is stored late
        (50, 40, 60, 50),  # the sink is ahead: its newer documents win until the state is there
        (50, 40, None, 50),  # read models are to be made anew, from the state
        (70, 60, 50, 60),  # the stream begins where the slot is, whatever is asked for
    ],
)
def test_a_state_at_or_after_the_slot_goes_on(
    position: int, place: int, checkpoint: int | None, ask_from: int
) -> None:
    """From the lesser of state and checkpoint; what the state has is not applied again."""
    found = decide(MARK, Position(position), here("state-1", place, checkpoint), str)
    assert found == GoOn(Position(ask_from), Position(position))


@pytest.mark.parametrize(
    ("mark", "position", "place", "state_id", "reason"),
    [
        (MARK, 49, 50, "state-1", "the source has gone on to 50, the state is at 49"),
        (MARK, 50, None, "state-1", "the slot was dropped or lost"),
        (MARK, 50, 50, "state-2", "goes with another state"),
        (replace(MARK, source_id="source-2"), 50, 50, "state-1", "the source is another one"),
    ],
)
def test_a_state_with_a_gap_is_loaded_anew(
    mark: Mark, position: int, place: int | None, state_id: str, reason: str
) -> None:
    """The reason is said in words."""
    found = decide(mark, Position(position), here(state_id, place, 50), str)
    assert isinstance(found, Rebuild)
    assert reason in found.reason


@pytest.mark.parametrize("shared", [50, 49])
def test_a_failover_is_the_same_history_up_to_where_it_left_the_old_one(shared: int) -> None:
    """A state that is beyond may hold what the source has lost."""
    after = replace(
        here("state-1", 40, 40),
        source_id="source-2",
        checkpoint_source_id="source-1",
        shared=Position(shared),
    )
    found = decide(MARK, Position(50), after, str)
    if shared == 50:
        assert found == GoOn(Position(40), Position(50))
    else:
        assert isinstance(found, Rebuild)
        assert "a failover has lost what the source had beyond 49" in found.reason


@pytest.mark.parametrize("shared", [50, 49])
def test_a_source_may_go_back_in_one_history(shared: int) -> None:
    """Restored from an older copy, it calls its history the same, and it ends below the state."""
    copy = replace(
        here("state-1", 40, 40), checkpoint_source_id="source-1", shared=Position(shared)
    )
    found = decide(MARK, Position(50), copy, str)
    if shared == 50:
        assert found == GoOn(Position(40), Position(50))
    else:
        assert isinstance(found, Rebuild)
        assert "the source has gone back to 49, and the state is at 50" in found.reason


def test_a_state_that_has_followed_a_failover_may_be_beyond_it() -> None:
    """A checkpoint that was stored before says only where the old history was left."""
    after = replace(
        here("state-1", 40, 40),
        source_id="source-2",
        checkpoint_source_id="source-1",
        shared=Position(45),
    )
    found = decide(replace(MARK, source_id="source-2"), Position(50), after, str)
    assert found == GoOn(Position(40), Position(50))
