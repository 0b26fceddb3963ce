"""What is written beside a stream, with a sink in memory: once, in time, and never too late."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.events import NOWHERE, Change, ChangeKind, Position
from cdc_daemon.posted.beside import Beside
from cdc_daemon.posted.body import Bodies, Post, PostedTransaction
from cdc_daemon.posted.documents import TABLES, Documents, key_of
from cdc_daemon.posted.outcome import NotServingError, TooManyPostsError
from cdc_daemon.posted.rows import Expected
from cdc_daemon.posted.writing import Writing
from tests.generators.by_hand import projection
from tests.generators.conditions import wait_until
from tests.generators.memory_sink import POISON, MemorySink, MemoryWriter
from tests.generators.scripted_source import MemoryClock, MemoryTokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from concurrent.futures import Future

    from cdc_daemon.posted.outcome import Done

INDEX = "index of hotels"
HOTELS = projection()
TABLE = HOTELS.relation.qualified_name
END_SECONDS = 30.0


class Stream:
    """One that is where the test says."""

    def __init__(self) -> None:
        self.highest = NOWHERE
        self.at = Position(100)
        self.shown: dict[str, int] = defaultdict(int)
        self.hurried: list[str] = []
        self.brought = NOWHERE

    def come_to(self) -> Position:
        """There."""
        return self.at

    def wrote(self, indices: Collection[str]) -> None:
        """Nothing is refreshed before the test says so."""

    def refreshes_of(self, indices: Collection[str]) -> Mapping[str, int]:
        """The first one."""
        return dict.fromkeys(indices, 1)

    def has_shown(self, refreshes: Mapping[str, int]) -> bool:
        """As the test says."""
        return all(self.shown[index] >= number for index, number in refreshes.items())

    def hurry(self, indices: Collection[str]) -> None:
        """Note it."""
        self.hurried += indices

    def hurry_to(self, position: Position) -> None:
        """Note it."""
        self.hurried.append(str(position))

    def has_brought(self, position: Position, *, searchable: bool) -> bool:  # noqa: ARG002 - both alike
        """As the test says."""
        return self.brought >= position


class Setting:
    """A stream, a sink, and what writes beside the one into the other."""

    def __init__(self, documents: Documents) -> None:
        self.stream, self.sink, self.clock = Stream(), MemorySink(), MemoryClock()
        self.clock.position = Position(1000)
        self.covered_until: dict[str, Position] = {}
        self.failures: list[BaseException] = []
        expected = Expected(
            {TABLE: HOTELS.relation}, {TABLE: key_of(HOTELS.relation)}, truncates=False
        )
        self.beside = Beside(
            bodies=Bodies(expected, versioned=True, most_changes=10, longest_seconds=60),
            documents=documents,
            versions=MemoryTokens("system/1"),
            stream=self.stream,
            covered_until=self.covered_until,
            most_waiting=2,
        )
        writers = {INDEX: self.sink.writer()}
        Writing(self.beside, writers, self.clock, self.failures.append, 0).start()

    def post(
        self,
        version: int,
        body: bytes = b"{}",
        *,
        searchable: bool = False,
        seconds: float = 60,
        token: str | None = None,
    ) -> Future[Done]:
        """One row, whose id and document the projection takes as they are."""
        change = Change(HOTELS.relation, ChangeKind.UPDATE, [b'"1"', body])
        made = PostedTransaction((change,), f"system/1:{version}", token)
        post = Post((made,), None, searchable, seconds)
        return self.beside.take(post, time.monotonic() + seconds)

    def document(self) -> tuple[int, bytes | None] | None:
        """What the sink has."""
        return self.sink.index(INDEX).documents.get(b'"1"')


@contextmanager
def ended(documents: Documents) -> Iterator[Setting]:
    """One that is closed, and was well."""
    made = Setting(documents)
    yield made
    made.beside.close()
    assert made.failures == []


@pytest.fixture
def setting() -> Iterator[Setting]:
    """A read model that is written to, and one that isn't."""
    with ended(Documents({INDEX: HOTELS}, ["cards"])) as made:
        yield made


@pytest.fixture
def left() -> Iterator[Setting]:
    """No read model is written to."""
    with ended(Documents({}, ["cards"])) as made:
        yield made


def outcome(done: Done) -> str:
    """Of the one transaction."""
    return str(done.transactions[0]["outcome"])


def test_what_the_stream_has_not_come_to_is_written(setting: Setting) -> None:
    """With its version, which a failover must know of before; read models of tables are left."""
    done = setting.post(200).result(END_SECONDS)
    assert (outcome(done), done.in_time) == ("written", True)
    assert setting.document() == (200, b"{}")
    assert setting.stream.highest == 200
    assert done.told == {"left_to_stream": {"cards": TABLES}}


def test_what_it_has_come_to_is_not(setting: Setting) -> None:
    """Also if it comes there while the sink is tried again."""
    assert outcome(setting.post(100).result(END_SECONDS)) == "superseded"
    setting.sink.away = True
    late = setting.post(200)
    setting.stream.at = Position(200)
    assert outcome(late.result(END_SECONDS)) == "superseded"
    setting.sink.away = False
    assert setting.document() is None


def test_what_the_stream_is_faster_with_is_waited_for(setting: Setting) -> None:
    """Where the token behind the commit is given: until it is there, and no longer than asked."""
    waiting = setting.post(90, token="system/1:120", searchable=True)  # noqa: S106 - a position
    assert wait_until(lambda: setting.stream.hurried == ["120"])
    assert not waiting.done()
    setting.stream.brought = Position(120)
    setting.beside.look()
    done = waiting.result(END_SECONDS)
    assert (outcome(done), done.in_time) == ("superseded", True)
    assert setting.post(200, token="system/1:220").result(END_SECONDS).in_time  # noqa: S106 - as above


def test_what_is_left_to_the_stream_is_waited_for(left: Setting) -> None:
    """Where no read model of it is written to by posts, and the token is given."""
    waiting = left.post(200, token="system/1:220", searchable=True)  # noqa: S106 - a position
    assert left.stream.hurried == ["220"]
    assert not waiting.done()
    left.stream.brought = Position(220)
    left.beside.look()
    done = waiting.result(END_SECONDS)
    assert (outcome(done), done.in_time) == ("left_to_stream", True)
    assert left.post(300).result(END_SECONDS).in_time
    late = left.post(400, token="system/1:420", seconds=0.0)  # noqa: S106 - as above
    assert (outcome(late.result(END_SECONDS)), late.result().in_time) == ("left_to_stream", False)


def test_a_sink_that_is_away_is_tried_until_time_is_up(setting: Setting) -> None:
    """Then it is given up, and the stream brings it; what is in time is written."""
    setting.sink.away = True
    done = setting.post(200, seconds=0.2).result(END_SECONDS)
    assert (outcome(done), done.in_time) == ("given_up", False)
    patient = setting.post(201)
    setting.sink.away = False
    assert outcome(patient.result(END_SECONDS)) == "written"


def test_what_the_sink_refuses_or_has_newer_is_told(setting: Setting) -> None:
    """And what no commit can have had."""
    refused = setting.post(200, POISON).result(END_SECONDS)
    assert outcome(refused) == "refused"
    assert refused.transactions[0]["refused"][0]["reason"] == "poison"
    setting.sink.index(INDEX).documents[b'"1"'] = (300, None)
    assert outcome(setting.post(201).result(END_SECONDS)) == "superseded"
    beyond = setting.post(1001).result(END_SECONDS)
    assert beyond.transactions[0]["refused"][0]["reason"] == "version_beyond_the_log"


def test_who_waits_for_searches_is_answered_when_they_show_it(setting: Setting) -> None:
    """Or when time is up: written it is."""
    waiting = setting.post(200, searchable=True)
    assert wait_until(lambda: setting.stream.hurried == [INDEX])
    assert not waiting.done()
    setting.stream.shown[INDEX] = 1
    setting.beside.look()
    assert waiting.result(END_SECONDS).in_time
    setting.stream.shown.clear()
    late = setting.post(201, searchable=True, seconds=5.0)
    assert wait_until(lambda: len(setting.stream.hurried) == 2)
    late_one = setting.beside

    def is_late() -> bool:
        late_one.look()
        return late.done()

    assert wait_until(is_late)
    assert (outcome(late.result()), late.result().in_time) == ("written", False)


def test_a_table_whose_rows_are_read_again_takes_nothing(setting: Setting) -> None:
    """What the stream leaves to that load it wouldn't repair: until it has passed it."""
    setting.covered_until[TABLE] = Position(150)
    with pytest.raises(NotServingError, match=f"table {TABLE} has changed"):
        setting.post(200)
    setting.stream.at = Position(150)
    assert outcome(setting.post(200).result(END_SECONDS)) == "written"


def test_only_so_many_wait(setting: Setting) -> None:
    """And nothing is taken any more once it is closed; who waits is told."""
    waiting = [setting.post(version, searchable=True) for version in (200, 201)]
    with pytest.raises(TooManyPostsError, match="max_waiting"):
        setting.post(202)
    assert wait_until(lambda: len(setting.stream.hurried) == 2)
    setting.beside.close()
    assert [one.result(END_SECONDS).in_time for one in waiting] == [False, False]
    with pytest.raises(NotServingError):
        setting.post(203)


class Gate(threading.Event):
    """Tells that somebody has come to it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """Until it is open."""
        self.reached.set()
        return super().wait(timeout)


@pytest.mark.parametrize("became", ["written", "superseded"])
def test_what_is_being_written_when_it_is_closed_is_answered(setting: Setting, became: str) -> None:
    """The sink answers only then: nobody will say of it any more that it is searched, or brought by
    the stream.
    """  # noqa: D205 - one sentence
    gate = setting.sink.gate = Gate()
    if became == "written":
        waiting = setting.post(200, searchable=True)
    else:
        setting.sink.index(INDEX).documents[b'"1"'] = (300, None)
        waiting = setting.post(200, token="system/1:220")  # noqa: S106 - a position
    assert gate.reached.wait(END_SECONDS)
    setting.beside.close()
    assert not waiting.done()
    gate.set()
    done = waiting.result(END_SECONDS)
    assert (outcome(done), done.in_time) == (became, False)


def test_what_fails_leaves_nobody_waiting(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the writer has in hand is given up, and nothing that was settled before."""
    failure = RuntimeError("a mistake of ours")

    def fails(*_: object) -> None:
        raise failure

    monkeypatch.setattr(MemoryWriter, "write", fails)
    change = Change(HOTELS.relation, ChangeKind.UPDATE, [b'"1"', b"{}"])
    versions = ("system/1:200", "system/1:1001")
    together = tuple(PostedTransaction((change,), version, None) for version in versions)
    post = Post(together, None, searchable=False, timeout_seconds=60)
    done = setting.beside.take(post, time.monotonic() + 60).result(END_SECONDS)
    assert [one["outcome"] for one in done.transactions] == ["given_up", "refused"]
    assert not done.in_time
    assert setting.failures == [failure]
    setting.failures.clear()
