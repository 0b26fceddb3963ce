"""Which projectors a relay hears, and whom it doesn't: who is gone, or is before a break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Position
from cdc_daemon.ports import Word
from connectors.kafka.relay import observing
from connectors.kafka.relay.observing import GroupsObserver, Projectors
from connectors.kafka.session import KafkaSection
from connectors.kafka.topics import Committed, Place
from connectors.relay.log import LogHead
from connectors.relay.words import group_name, leading, marks_of, written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectors.kafka.topics import Topics

OLD, NEW = (group_name("hotels", digit * 12) for digit in "01")
HISTORY = "7301 timeline 1"
TABLE, SINCE = "public.hotel", "16384 shop since 50"


def word(position: int, membership: str = SINCE) -> Word:
    """What a leader says."""
    return Word(HISTORY, Position(position), True, TABLE, f"16384 topic {membership}")  # noqa: FBT003 - as it is declared


def heard(position: int) -> Word:
    """What a relay gets to know of it."""
    return Word(HISTORY, Position(position), is_whole=True)


class Cluster:
    """`Topics` of a cluster that has these groups."""

    def __init__(self, **said: Word) -> None:
        self.said = {leading(group): written(said[name]) for name, group in GROUPS if name in said}
        self.there = set(self.said)
        """Those that have members."""
        self.is_away = False
        self.listed = 0

    def names(self) -> list[str]:
        """The topics of groups stay, whoever is there."""
        self.listed += 1
        if self.is_away:
            raise RetryError("away")
        return sorted(self.said)

    def members(self, group: str) -> list[str]:
        """One, or nobody."""
        return ["one"] if group in self.there else []

    def committed(self, group: str, places: Iterable[Place]) -> dict[Place, Committed]:
        """What the leader has said last."""
        return {place: Committed(0, self.said[group]) for place in places}

    def close(self) -> None:
        """There is nothing to let go of."""


GROUPS = (("old", OLD), ("new", NEW))


@pytest.fixture(autouse=True)
def _always_looks_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "LOOK_SECONDS", 0.0)


def projectors(cluster: Cluster, marks: frozenset[str] | None = None) -> Projectors:
    """As a relay sees them."""
    topics: Topics = cluster  # type: ignore[assignment]  # what of it is asked
    return Projectors("hotels", topics, marks)


def test_the_words_of_the_dead_are_not_heard() -> None:
    """They are kept for days; once somebody is there, they are true again."""
    cluster = Cluster(old=word(100))
    seen = projectors(cluster)
    assert seen.look() == heard(100)
    cluster.there.clear()
    assert "no projector of hotels that may lead is there" in str(seen.look())
    assert "no projector of hotels that may lead is there" in str(projectors(cluster).look())
    cluster.there = {leading(OLD)}
    assert seen.look() == heard(100)


def test_projectors_that_write_into_another_sink_by_now_are_heard() -> None:
    """They are of another group then, and nobody is of the one before."""
    cluster = Cluster(old=word(100))
    seen = projectors(cluster)
    assert seen.look() == heard(100)
    cluster.said[leading(NEW)] = written(word(120))
    cluster.there = {leading(NEW)}
    assert seen.look() == heard(120)
    assert projectors(cluster).look() == heard(120)


def test_a_second_sink_is_not_taken_for_the_first() -> None:
    """Both were there at once: whether the other is meant once one is gone only people know."""
    cluster = Cluster(old=word(100))
    seen = projectors(cluster)
    assert seen.look() == heard(100)
    cluster.said[leading(NEW)] = written(word(120))
    cluster.there = {leading(OLD), leading(NEW)}
    assert seen.look() == heard(100)
    cluster.there = {leading(NEW)}
    why = seen.look()
    assert "name those" in str(why)
    assert f"hotels.{'0' * 12}, hotels.{'1' * 12}" in str(why)
    cluster.there = {leading(OLD), leading(NEW)}
    assert seen.look() == heard(100)
    assert "name those" in str(projectors(cluster).look())


def test_words_of_before_a_break_of_the_log_do_not_count() -> None:
    """Positions of a server that was restored come again, under the same timeline."""
    before, after = (LogHead(HISTORY, {TABLE: text}) for text in (SINCE, "16384 shop since 40"))
    cluster = Cluster(old=word(100))
    assert projectors(cluster, marks_of(before)).look() == heard(100)
    assert "break in the log" in str(projectors(cluster, marks_of(after)).look())
    cluster.said[leading(OLD)] = written(word(45, "16384 shop since 40"))
    assert projectors(cluster, marks_of(after)).look() == heard(45)


def test_a_table_that_joins_or_leaves_is_no_break_to_others() -> None:
    """What is said of a log is marked by a table of those who say it."""
    more = LogHead(HISTORY, {TABLE: SINCE, "public.room": "16390 shop since 70"})
    assert projectors(Cluster(old=word(100)), marks_of(more)).look() == heard(100)


def test_trouble_with_one_pipeline_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the reason in the place of a word."""
    clusters = [Cluster(old=word(100)), Cluster()]
    clusters[1].is_away = True
    made = iter(clusters)
    monkeypatch.setattr(observing, "Topics", lambda *_: next(made))
    section = KafkaSection(bootstrap_servers="nowhere:9092")
    seen = GroupsObserver(section, "client", ["hotels", "rooms"]).look()
    assert seen == {"hotels": heard(100), "rooms": "away"}


def test_it_is_rarely_asked_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while nobody is, or it can't be asked: what waits looks fifty times a second."""
    monkeypatch.setattr(observing, "LOOK_SECONDS", 3600.0)
    away = Cluster()
    away.is_away = True
    for cluster in (Cluster(old=word(100)), Cluster(), away):
        seen = projectors(cluster)
        first = seen.look()
        assert [seen.look() for _ in range(5)] == [first] * 5
        assert cluster.listed == 1
