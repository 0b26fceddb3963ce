"""The checker of client histories: finds what is wrong, accuses nobody else, and is fast."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.price.checking import (
    Violation,
    missed_commits,
    monotonic_reads,
    read_your_writes,
    staleness,
)
from cdc_daemon.price.history import NOTHING, History, Search, Write

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = ("a", "b")
CLIENTS = ("1", "2", "3")
MOMENTS = st.integers(0, 12).map(float)
VERSIONS = st.integers(NOTHING, 6)
SPANS = st.tuples(MOMENTS, MOMENTS).map(sorted)


@st.composite
def writes(draw: st.DrawFn) -> Write:
    """A commit at any time of any version: the checker believes what it is told."""
    began, ended = draw(SPANS)
    who, key = draw(st.sampled_from(CLIENTS)), draw(st.sampled_from(KEYS))
    return Write(who, key, draw(VERSIONS) + 1, began, ended)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    """A search that finds anything at all."""
    began, ended = draw(SPANS)
    who, key = draw(st.sampled_from(CLIENTS)), draw(st.sampled_from(KEYS))
    return Search(who, key, draw(VERSIONS), began, ended, promised=began - draw(MOMENTS))


HISTORIES = st.builds(
    History, writes=st.lists(writes(), max_size=25), searches=st.lists(searches(), max_size=25)
)


def accused(violations: list[Violation]) -> list[Search]:
    """The searches, in an order that doesn't depend on how they were found."""
    return sorted((violation.search for violation in violations), key=repr)


def naive(
    history: History, proves: Callable[[Search, Write | Search], bool], *, reads: bool = False
) -> list[Search]:
    """Every search against everything that might prove it wrong."""
    witnesses = history.searches if reads else history.writes
    wrong = [
        search
        for search in history.searches
        if any(one.version > search.version and proves(search, one) for one in witnesses)
    ]
    return sorted(wrong, key=repr)


def same_key(search: Search, other: Write | Search) -> bool:
    """Whether both are about one key."""
    return search.key == other.key


def same_client(search: Search, other: Write | Search) -> bool:
    """Whether both are of one client and about one key, one after the other."""
    return same_key(search, other) and search.client == other.client and other.ended < search.began


@given(HISTORIES)
def test_finds_what_a_naive_checker_finds(history: History) -> None:
    """All pairs looked at, one by one, prove the same searches wrong."""
    assert accused(read_your_writes(history)) == naive(history, same_client)
    assert accused(monotonic_reads(history)) == naive(history, same_client, reads=True)
    assert accused(missed_commits(history)) == naive(
        history, lambda search, one: same_key(search, one) and one.ended < search.began
    )
    assert accused(missed_commits(history, lambda search: search.promised)) == naive(
        history, lambda search, one: same_key(search, one) and one.ended < search.promised
    )


@given(HISTORIES)
def test_an_answer_is_stale_since_the_first_commit_that_it_misses(history: History) -> None:
    """As counted over all writes, one by one; and stale exactly where a commit was missed."""
    found = staleness(history)
    for search, seconds in zip(history.searches, found, strict=True):
        missing = [
            search.began - write.ended
            for write in history.writes
            if same_key(search, write) and write.version > search.version
        ]
        assert seconds == max([0.0, *missing])
    stale = [one for one, seconds in zip(history.searches, found, strict=True) if seconds]
    assert sorted(stale, key=repr) == accused(missed_commits(history))


def true_history(operations: int, seed: int) -> History:
    """What clients see of one register a key whose commits are searchable before they return."""
    chosen = random.Random(seed)
    history, versions, now = History(), dict.fromkeys(map(str, range(50)), NOTHING), 0.0
    for _ in range(operations):
        client, key = str(chosen.randrange(8)), chosen.choice([*versions])
        began, now = now, now + chosen.random()
        if chosen.random() < 0.5:
            versions[key] += 1
            history.writes.append(Write(client, key, versions[key], began, now))
        else:
            history.searches.append(Search(client, key, versions[key], began, now, promised=began))
    return history


def test_a_hundred_thousand_operations_are_checked_in_seconds() -> None:
    """A long run is checked as it should be: nothing is found in it, and nobody waits."""
    history = true_history(100_000, seed=6)
    began = time.process_time()
    assert not read_your_writes(history)
    assert not monotonic_reads(history)
    assert not missed_commits(history)
    assert not any(staleness(history))
    assert time.process_time() - began < 20


@pytest.mark.parametrize("seed", range(5))
def test_planted_violations_are_found(seed: int) -> None:
    """A search that finds one version less than it should is named, with who had it, and when."""
    history = true_history(2_000, seed)
    owed = {one.key for one in history.writes if one.client == "3"}
    place, search = next(
        (place, one)
        for place, one in enumerate(history.searches)
        if place > 500 and one.client == "3" and one.key in owed and one.version
    )
    own = Write("3", search.key, search.version, search.began - 0.5, search.began - 0.25)
    history.writes.append(own)
    planted = replace(search, version=search.version - 1)
    history.searches[place] = planted
    assert Violation(planted, own) in read_your_writes(history)
    assert planted in accused(missed_commits(history))
    assert staleness(history)[place] >= 0.25
    again = replace(search, began=search.began - 0.2, ended=search.began - 0.1)
    history.searches.append(again)
    assert Violation(planted, again) in monotonic_reads(history)


def test_a_violation_says_who_missed_what() -> None:
    """The client, the key, both versions, and how long before they had been known."""
    violation = Violation(Search("3", "17", 4, 12.5, 12.6), Write("8", "17", 5, 12.0, 12.25))
    assert str(violation) == (
        "client 3 found version 4 of 17; client 8 had version 5 250.0 ms before it searched"
    )


def test_what_happens_at_the_same_moment_accuses_nobody() -> None:
    """A commit that returns while a search is under way may be found, or not."""
    write = Write("1", "a", 1, 1.0, 2.0)
    history = History([write], [Search("1", "a", NOTHING, 2.0, 3.0)])
    assert not missed_commits(history)
    assert not read_your_writes(history)
    assert staleness(history) == [0.0]
