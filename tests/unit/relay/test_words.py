"""What leaders say to commits that wait, as text, and in which group."""

from __future__ import annotations

import pytest

from cdc_daemon.events import Position
from cdc_daemon.ports import Word
from connectors.relay.log import LogHead
from connectors.relay.words import group_name, groups_of, leading, marks_of, read, written

SINK = "0123456789ab"
OTHER = "ba9876543210"


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_word_comes_back(is_whole: bool) -> None:  # noqa: FBT001 - what varies
    """Also where the name of its history has spaces."""
    word = Word("7301 timeline 2", Position(12345), is_whole)
    of_table = word._replace(table="public.hotel", membership="16384 topic shop since 7")
    kept = read(written(of_table))
    assert kept is not None
    assert kept.word == word
    assert marks_of(LogHead("", {"public.hotel": "shop since 7"})) == {kept.mark}
    assert kept.mark not in marks_of(LogHead("", {"public.hotel": "shop since 8"}))


@pytest.mark.parametrize(
    "text", ["", "12345", "12345 whole", "1 whole 1", "x whole a 1", "1 half a 1", "era 1 2"]
)
def test_what_others_have_written_is_no_word(text: str) -> None:
    """Among it what a leader writes that says nothing: nothing."""
    assert read(text) is None


def test_groups_are_found_by_their_topics() -> None:
    """Those of the pipeline, of one sink where it is named, and of no other pipeline."""
    ours, other = group_name("hotels", SINK), group_name("hotels", OTHER)
    topics = [
        leading(ours),
        f"{ours}.slots",
        leading(other),
        leading(group_name("hotels2", SINK)),
        "hotels",
    ]
    assert groups_of("hotels", topics) == [ours, other]
    assert groups_of(f"hotels.{OTHER}", topics) == [other]
    assert groups_of("rooms", topics) == []
