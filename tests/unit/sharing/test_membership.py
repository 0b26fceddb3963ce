"""A member of a group that was silent for long: what it had may have been another's meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Position
from cdc_daemon.ports import NOTHING, Seat, Word
from cdc_daemon.sharing import membership
from cdc_daemon.sharing.membership import MUTE, Membership, Said
from cdc_daemon.sharing.slots import ALL_SLOTS
from tests.generators.conditions import wait_until
from tests.generators.one_member import OneMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERYTHING = Seat(leads=True, slots=ALL_SLOTS)
SILENT_SECONDS = 1.0


class Member:
    """It takes part, and notes which seats it had when it heard of the group."""

    def __init__(self) -> None:
        self.group = OneMember()
        self.seats: list[tuple[Seat, bool]] = []
        """And whether what it had before could be written then."""
        self.failures: list[BaseException] = []
        self.membership = Membership(lambda: self.group, dict, self._heard, self.failures.append)

    def _heard(self) -> None:
        self.seats.append((self.membership.seat, self.membership.is_current()))

    def has_all(self) -> bool:
        """Whether it has everything, once it has said again that it wants that."""
        self.membership.take_part(leading=True, sharing=True)
        return self.membership.seat == EVERYTHING and self.membership.is_current()


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> Iterator[Member]:
    """One that has everything."""
    monkeypatch.setattr(membership, "SILENT_SECONDS", SILENT_SECONDS)
    made = Member()
    assert not made.membership.is_current()
    made.membership.start()
    assert wait_until(made.has_all)
    yield made
    made.membership.close()
    assert not made.failures


def test_what_was_frozen_for_long_gives_up_what_it_had(member: Member) -> None:
    """Nothing is written from then on until whoever has a seat knows that it is gone."""
    member.group.goes_on.clear()
    assert wait_until(lambda: not member.membership.is_current())
    before = len(member.seats)
    member.group.goes_on.set()
    assert wait_until(lambda: member.membership.seat == NOTHING)
    assert wait_until(lambda: len(member.seats) > before)
    assert member.seats[before] == (NOTHING, False)
    assert member.membership.wait_heard(10)
    assert wait_until(member.has_all)


def test_what_is_cut_off_for_long_writes_nothing(member: Member) -> None:
    """Though it still has its seat, as far as it knows."""
    member.group.is_away = True
    assert wait_until(lambda: not member.membership.is_current())
    assert member.membership.seat == EVERYTHING
    assert isinstance(member.membership.lost, RetryError)
    member.group.is_away = False
    assert wait_until(lambda: member.membership.seat == NOTHING)
    assert wait_until(lambda: member.membership.lost is None)


def test_a_leader_says_what_commits_may_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word once, soon where commits wait; and again once it leads again."""
    monkeypatch.setattr(membership, "EXCHANGE_SECONDS", 3600.0)
    said = Said(Word("history", Position(7), is_whole=True), is_awaited=True)
    group = OneMember()
    member = Membership(lambda: group, dict, lambda: None, lambda _: None, lambda: said)
    member.start()
    try:
        assert wait_until(lambda: group.words == [])
        member.take_part(leading=True, sharing=True)
        assert wait_until(lambda: group.words == [said.word])
        said = Said(Word("history", Position(8), is_whole=True), is_awaited=True)
        assert wait_until(lambda: len(group.words) == 2)
        member.take_part(leading=False, sharing=True)
        assert wait_until(lambda: not member.seat.leads)
        member.take_part(leading=True, sharing=True)
        assert wait_until(lambda: group.words[2:] == [said.word])
    finally:
        member.close()


def saying(group: OneMember, said: Callable[[], Said]) -> Membership:
    """A member that leads, and has that to say."""
    member = Membership(lambda: group, dict, lambda: None, lambda _: None, said)
    member.take_part(leading=True, sharing=True)
    member.start()
    return member


def wait_rounds(member: Membership) -> None:
    """Wait until it has asked the group for a second more."""
    member.wait_heard_since(membership.elapsed_seconds() + 1, threading.Event())


def test_a_word_that_was_refused_is_said_again() -> None:
    """While who leads isn't settled none is kept: commits would wait for the next change."""
    said = Said(Word("history", Position(7), is_whole=True), is_awaited=True)
    group = OneMember()
    group.keeps_words = False
    member = saying(group, lambda: said)
    try:
        assert wait_until(lambda: len(group.words) > 1)
        group.keeps_words = True
        wait_rounds(member)
        kept = len(group.words)
        wait_rounds(member)
        assert len(group.words) == kept
    finally:
        member.close()
    assert set(group.words) == {said.word}


def test_a_leader_that_commits_are_not_to_wait_for_takes_back_what_was_said() -> None:
    """Once: what the one before it has said would look as if it was said by this one."""
    group = OneMember()
    member = saying(group, lambda: MUTE)
    try:
        assert wait_until(lambda: group.words == [None])
        wait_rounds(member)
        assert group.words == [None]
    finally:
        member.close()
