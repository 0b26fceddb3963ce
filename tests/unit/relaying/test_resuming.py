"""Where a start of a relay goes on, and when changes are lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_daemon.events import NOWHERE, Checkpoint, Position
from cdc_daemon.relaying.resuming import resume_relay
from cdc_daemon.resuming import Found

MEMBERS = {"public.hotel": "1", "public.room": "2"}
KEPT = Checkpoint("store", Position(50), "A/1", memberships=MEMBERS)
FOUND = Found(KEPT, Position(50), "A/1", Position(60), MEMBERS)


def show(position: Position) -> str:
    """As people know it."""
    return f"@{position}"


def test_the_first_start_relays_what_changes_from_then_on() -> None:
    """Nothing was written, and the source keeps nothing: that is no loss."""
    resumed = resume_relay("store", replace(FOUND, checkpoint=None, place=None), show)
    assert (resumed.new_place, resumed.lost) == (True, "")
    assert resumed.joined == {"public.hotel", "public.room"}


def test_it_goes_on_after_the_checkpoint() -> None:
    """The source may be behind it: what was written isn't read again."""
    resumed = resume_relay("store", replace(FOUND, place=Position(40)), show)
    assert (resumed.new_place, resumed.lost, resumed.joined) == (False, "", frozenset())
    assert resumed.checkpoint.position == 50


def test_a_failover_that_has_lost_nothing_is_followed() -> None:
    """The new history has all that was written."""
    resumed = resume_relay("store", replace(FOUND, source_id="A/2", shared=Position(50)), show)
    assert (resumed.new_place, resumed.checkpoint.source_id) == (False, "A/2")


def test_a_table_that_has_come_or_come_anew_is_read() -> None:
    """Its membership is another one: the stream may lack changes of it."""
    resumed = resume_relay(
        "store", replace(FOUND, memberships={**MEMBERS, "public.room": "3"}), show
    )
    assert resumed.joined == {"public.room"}
    assert not resumed.new_place


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (replace(FOUND, place=None), "keeps no place"),
        (replace(FOUND, place=Position(51)), "the source has gone on to @51"),
        (replace(FOUND, shared=NOWHERE), "another history"),
        (replace(FOUND, shared=Position(49)), "left at @49"),
        (replace(FOUND, checkpoint=None), "there is no checkpoint"),
    ],
)
def test_what_is_lost_is_said(found: Found, why: str) -> None:
    """Changes that nobody has read can't be had any more."""
    resumed = resume_relay("store", found, show)
    assert resumed.new_place
    assert why in resumed.lost
