"""Holes: whatever the order of updates, snapshots and reads, the row's last state wins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from cdc_daemon.backfill.holes import Answer, Holes
from cdc_daemon.backfill.nudging import Nudging
from cdc_daemon.events import Position

if TYPE_CHECKING:
    import pytest

INDEX = "i"
KEYS = [b"a", b"b", b"c"]


@dataclass(frozen=True)
class Seen:
    """A `Visibility` of these transactions."""

    xids: frozenset[int]

    def sees(self, xid: int) -> bool:
        """Whether it is one of them."""
        return xid in self.xids


@dataclass(frozen=True)
class Write:
    """One transaction: small and large value of a row; `large` None leaves it as it is."""

    xid: int
    end: int
    key: bytes
    small: bytes | None
    """None deletes the row."""
    large: bytes | None


class History(RuleBasedStateMachine):
    """A source whose commits become visible late, and a sink of versions."""

    most = 100
    """Holes that are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.holes = Holes(self.most)
        self.forgot = False
        """Whether one was left that isn't remembered."""
        self.log: list[Write] = []
        self.sent = 0
        self.visible: set[int] = set()
        self.locked: dict[bytes, int] = {}
        self.received = 0
        self.rows: dict[bytes, tuple[bytes, bytes]] = {}
        """As of the end of the log."""
        self.sink: dict[bytes, tuple[int, bytes | None]] = {}
        self.answers: list[Answer] = []

    @rule(
        key=st.sampled_from(KEYS),
        small=st.one_of(st.none(), st.sampled_from([b"1", b"2", b"3"])),
        large=st.one_of(st.none(), st.sampled_from([b"x", b"y"])),
    )
    def commit(self, key: bytes, small: bytes | None, large: bytes | None) -> None:
        """A row is written, and not visible yet."""
        if key in self.locked or (key not in self.rows and (small is None or large is None)):
            return
        end = len(self.log) * 10 + 10
        self.log.append(Write(end, end, key, small, large))
        self.locked[key] = end
        apply(self.rows, self.log[-1])

    @precondition(lambda self: self.locked)
    @rule(data=st.data())
    def become_visible(self, data: st.DataObject) -> None:
        """In any order."""
        key = data.draw(st.sampled_from(sorted(self.locked)))
        self.visible.add(self.locked.pop(key))

    @precondition(lambda self: self.sent < len(self.log))
    @rule()
    def stream(self) -> None:
        """The next commit comes, without what it left as it was."""
        write = self.log[self.sent]
        self.sent += 1
        name = (INDEX, write.key)
        if write.small is not None and write.large is None:
            key, after = (write.key.decode(),), Position(self.received)
            self.forgot = not self.holes.left(name, key, write.xid, after) or self.forgot
        else:
            self.holes.settled(name)
            body = None if write.small is None else write.small + (write.large or b"")
            self.write(write.key, write.end, body)
        self.received = write.end
        self.nothing_counts_too_early()

    def nothing_counts_too_early(self) -> None:
        """Up to where it is durable, the sink is the table, or newer."""
        held = self.holes.held()
        durable = self.received if held is None else held
        table: dict[bytes, tuple[bytes, bytes]] = {}
        for write in self.log[: self.sent]:
            if write.end <= durable:
                apply(table, write)
        for key in KEYS:
            last = max((w.end for w in self.log if w.key == key and w.end <= durable), default=0)
            version, body = self.sink.get(key, (0, None))
            assert version >= last
            if version == last and last:
                assert body == (b"".join(table[key]) if key in table else None)

    @rule()
    def read(self) -> None:
        """Rows are read by key, as of now."""
        asked = self.holes.to_ask(10)
        if not asked:
            return
        table: dict[bytes, tuple[bytes, bytes]] = {}
        for write in self.log:
            if write.xid in self.visible:
                apply(table, write)
        contents = {name: b"".join(table[name[1]]) for name in asked if name[1] in table}
        reached = Position(len(self.log) * 10)
        self.answers.append(Answer(list(asked), contents, Seen(frozenset(self.visible)), reached))

    @precondition(lambda self: self.answers)
    @rule()
    def bring(self) -> None:
        """They arrive."""
        self.holes.answered(self.answers.pop(0))

    @rule()
    def release(self) -> None:
        """What the stream has passed is written."""
        for filled in self.holes.ready(Position(self.received)):
            self.holes.settled(filled.name)
            self.write(filled.name[1], self.received, filled.content)
        self.nothing_counts_too_early()

    def write(self, key: bytes, version: int, body: bytes | None) -> None:
        """As the sink does: the higher version wins, and one version has one content."""
        there = self.sink.get(key)
        if there is None or version > there[0]:
            self.sink[key] = (version, body)
        elif version == there[0]:
            assert there[1] == body, "two contents of one version"

    def teardown(self) -> None:
        """At the end the sink is the table."""
        self.visible.update(self.locked.values())
        self.locked = {}
        while self.sent < len(self.log):
            self.stream()
        for _ in range(4):
            while self.answers:
                self.bring()
            self.release()
            self.read()
        assert not len(self.holes)
        self.nothing_counts_too_early()
        assert (self.holes.held() is not None) == self.forgot
        if self.forgot:
            return
        found = {key: body for key, (_, body) in self.sink.items() if body is not None}
        assert found == {key: b"".join(values) for key, values in self.rows.items()}


class Crowded(History):
    """More rows than are remembered: whatever is forgotten, nothing counts as durable too early."""

    most = 1


def apply(table: dict[bytes, tuple[bytes, bytes]], write: Write) -> None:
    """One transaction."""
    if write.small is None:
        table.pop(write.key, None)
    else:
        large = table[write.key][1] if write.large is None else write.large
        table[write.key] = (write.small, large)


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestCrowded = Crowded.TestCase
TestCrowded.settings = TestHistory.settings


def test_no_more_rows_are_read_than_can_wait() -> None:
    """While the stream is far behind, documents don't pile up in memory."""
    holes = Holes(100)
    for number in range(30):
        holes.left((INDEX, b"%d" % number), (str(number),), 1, Position(5))
    asked = holes.to_ask(10)
    contents: dict[tuple[str, bytes], bytes | None] = dict.fromkeys(asked, b"{}")
    holes.answered(Answer(list(asked), contents, Seen(frozenset({1})), Position(100)))
    assert holes.to_ask(10) == {}
    for filled in holes.ready(Position(100)):
        holes.settled(filled.name)
    assert len(holes) == 20
    assert len(holes.to_ask(10)) == 10


def test_a_truncate_settles_all_holes_of_an_index() -> None:
    """Their documents are gone."""
    holes = Holes(100)
    holes.left((INDEX, b"a"), ("a",), 1, Position(5))
    holes.left(("other", b"a"), ("a",), 1, Position(7))
    holes.truncated(INDEX)
    assert holes.held() == 7


def test_memory_is_bounded() -> None:
    """What isn't remembered has to come again: from it on nothing counts, whatever is filled."""
    holes = Holes(1)
    assert holes.left((INDEX, b"a"), ("a",), 1, Position(5))
    assert holes.left((INDEX, b"a"), ("a",), 2, Position(6)), "it waits already"
    assert not holes.left((INDEX, b"b"), ("b",), 2, Position(6))
    assert not holes.left((INDEX, b"c"), ("c",), 3, Position(7))
    assert (len(holes), holes.held()) == (1, 5)
    holes.settled((INDEX, b"a"))
    assert (len(holes), holes.held()) == (0, 6)
    assert holes.left((INDEX, b"d"), ("d",), 4, Position(8))
    assert holes.held() == 6


def test_a_stream_that_stands_still_is_nudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read waits for it; a stream that moves by itself is left alone."""
    now = [100.0]
    monkeypatch.setattr("cdc_daemon.backfill.nudging.time.monotonic", lambda: now[0])
    nudges: list[float] = []
    nudging = Nudging(lambda: nudges.append(now[0]))
    for received in (10, 20, 30, 30, 30, 30):
        now[0] += 0.15
        nudging.waits(Position(received), Position(50))
    assert len(nudges) == 1
    now[0] += 1
    nudging.waits(Position(50), Position(50))
    now[0] += 1
    nudging.waits(Position(50), None)
    assert len(nudges) == 1
