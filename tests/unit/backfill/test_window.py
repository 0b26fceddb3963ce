"""The window: whatever the order of snapshots, commits and releases, the last state wins."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from cdc_daemon.backfill import window as module
from cdc_daemon.backfill.window import LoadedChunk, Window
from cdc_daemon.events import Chunk, Position

INDEX = "i"
KEYS = [b"a", b"b", b"c", b"d", b"e", b"f"]
CHUNKS = {0: KEYS[:3], 1: KEYS[3:]}
WORKERS = 2


@dataclass(frozen=True)
class Seen:
    """A `Visibility` of these transactions."""

    xids: frozenset[int]

    def sees(self, xid: int) -> bool:
        """Whether it is one of them."""
        return xid in self.xids


def loaded(seen: Seen, reached: int, documents: dict[bytes, bytes], number: int = 0) -> LoadedChunk:
    """A chunk that was read."""
    chunk = Chunk("t", 1, 1, (number, 0), (number + 1, 0))
    return LoadedChunk(1, chunk, None, seen, Position(reached), {INDEX: {**documents}}, 3)


class History(RuleBasedStateMachine):
    """A source whose commits become visible late and in any order, and a sink of versions.

    `log` is what the stream sends, in its order. A row's value is the last commit's of the log.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(WORKERS)
        self.position = 0
        self.log: list[tuple[int, int, dict[bytes, bytes | None], bool]] = []
        """xid, end, changes, truncate: not yet streamed ones from `sent` on."""
        self.sent = 0
        self.visible: set[int] = set()
        self.locked: dict[bytes, int] = {}
        """Rows that an invisible transaction has changed: nobody else can, nor may truncate."""
        self.received = 0
        self.sink: dict[bytes, tuple[int, bytes | None]] = {}
        self.to_read = [0, 1]
        self.reading: dict[int, tuple[int, Seen, int, dict[bytes, bytes]]] = {}
        self.start = {key: b"start of " + key for key in KEYS}
        self.written: set[int] = set()
        """Chunks that are durable."""
        self.away = frozenset[int]()
        self.stored: tuple[int, list[int]] = 0, []
        """Position and numbers of the checkpoint."""

    @rule(
        changes=st.dictionaries(
            st.sampled_from(KEYS), st.one_of(st.none(), st.binary(min_size=1)), min_size=1
        ),
        truncate=st.integers(0, 9).map(lambda number: number == 0),
    )
    def commit(self, changes: dict[bytes, bytes | None], *, truncate: bool) -> None:
        """Into the log, but not yet visible."""
        if truncate and self.locked:
            return
        changes = {key: value for key, value in changes.items() if key not in self.locked}
        if not changes and not truncate:
            return
        self.position += 10
        xid = self.position
        self.log.append((xid, self.position, changes, truncate))
        self.locked |= dict.fromkeys(KEYS if truncate else changes, xid)

    @precondition(lambda self: self.locked)
    @rule(data=st.data())
    def become_visible(self, data: st.DataObject) -> None:
        """Any of them, in any order."""
        xid = data.draw(st.sampled_from(sorted(set(self.locked.values()))))
        self.visible.add(xid)
        self.locked = {key: by for key, by in self.locked.items() if by != xid}

    @rule(worker=st.integers(0, WORKERS - 1))
    def begin_to_read(self, worker: int) -> None:
        """A worker takes a snapshot and reads a chunk in it."""
        if not self.to_read or worker in self.reading or worker in self.away:
            return
        if any(truncate for xid, _, _, truncate in self.log if xid not in self.visible):
            return  # it holds the table's lock
        number = self.to_read.pop(0)
        table = dict(self.start)
        for xid, _, changes, truncate in self.log:
            if xid in self.visible:
                apply(table, changes, truncate=truncate)
        documents = {key: table[key] for key in CHUNKS[number] if key in table}
        self.reading[worker] = (number, Seen(frozenset(self.visible)), self.position, documents)

    @rule(worker=st.integers(0, WORKERS - 1))
    def bring(self, worker: int) -> None:
        """The chunk arrives; or an idle worker takes a snapshot."""
        if worker in self.away:
            return
        if worker not in self.reading:
            self.window.snapshot_taken(worker, Seen(frozenset(self.visible)))
            return
        number, seen, reached, documents = self.reading.pop(worker)
        if not self.window.arrived(loaded(seen, reached, documents, number)):
            self.to_read.append(number)
        self.window.snapshot_taken(worker, seen)

    @precondition(lambda self: self.sent < len(self.log))
    @rule()
    def stream(self) -> None:
        """The next commit comes."""
        xid, end, changes, truncate = self.log[self.sent]
        self.sent += 1
        window = self.window.transaction(xid, Position(self.received))
        contents = list(changes.items())
        if truncate:
            if window is not None:
                window.truncated(INDEX)
            for key in list(self.sink):
                self.write(key, end - 1, None)
        if window is not None:
            contents = list(window.touching(INDEX, contents))
        for key, body in contents:
            self.write(key, end, body)
        self.received = end

    @rule()
    def release(self) -> None:
        """What the stream has passed is written."""
        while (chunk := self.window.ready(Position(self.received))) is not None:
            self.window.released(chunk)
            for key, body in chunk.contents[INDEX].items():
                self.write(key, self.received, body)
            assert chunk.chunk is not None
            self.written.add(chunk.chunk.first[0])

    @rule(worker=st.integers(0, WORKERS - 1))
    def leave_or_come_back(self, worker: int) -> None:
        """It loses its connection, and has one again."""
        if worker not in self.reading:
            self.away ^= {worker}
            self.window.leave_out(self.away)

    @rule(kept=st.sampled_from([0, 0, 1, 2, 100]))
    def store(self, kept: int) -> None:
        """A checkpoint, whether commits may wait for it or not."""
        held = self.window.held(kept)
        position = self.received if held is None else min(self.received, held)
        position = max(position, self.stored[0])
        self.stored = position, list(self.window.unseen(Position(position)))

    @rule()
    def crash(self) -> None:
        """What isn't in the checkpoint is lost; the source sends what comes after it."""
        self.received, unseen = self.stored
        self.sent = sum(end <= self.received for _, end, _, _ in self.log)
        self.window = Window(WORKERS)
        self.window.doubt(unseen)
        self.reading, self.away = {}, frozenset()
        self.to_read = [number for number in CHUNKS if number not in self.written]

    def write(self, key: bytes, version: int, body: bytes | None) -> None:
        """As the sink does: the higher version wins, and one version has one content."""
        there = self.sink.get(key)
        if there is None or version > there[0]:
            self.sink[key] = (version, body)
        elif version == there[0]:
            assert there[1] == body, "two contents of one version"

    def teardown(self) -> None:
        """At the end the sink is the table."""
        while self.locked:
            self.visible.update(self.locked.values())
            self.locked = {}
        self.away = frozenset()
        self.window.leave_out(self.away)
        while self.sent < len(self.log):
            self.stream()
        for _ in range(8):
            for worker in range(WORKERS):
                self.begin_to_read(worker)
                self.bring(worker)
        self.release()
        assert not self.to_read
        assert not len(self.window)
        for worker in range(WORKERS):
            self.bring(worker)
        assert self.window.held() is None
        assert not self.window.unseen(Position(self.received))
        table = dict(self.start)
        for _, _, changes, truncate in self.log:
            apply(table, changes, truncate=truncate)
        assert {k: body for k, (_, body) in self.sink.items() if body is not None} == table


def apply(table: dict[bytes, bytes], changes: dict[bytes, bytes | None], *, truncate: bool) -> None:
    """One transaction."""
    if truncate:
        table.clear()
    for key, value in changes.items():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


class TestHistoryWithLittleRoom(History.TestCase):  # type: ignore[misc, valid-type]  # made at run time
    """The same where hardly anything can be remembered: chunks are read again."""

    @pytest.fixture(autouse=True)
    def little_room(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two ids."""
        monkeypatch.setattr(module, "MOST_REMEMBERED", 2)


def test_a_transaction_that_is_not_visible_yet_holds_the_checkpoint() -> None:
    """After a crash it must come again: nobody else remembers that a chunk may not see it."""
    window = Window(1)
    window.snapshot_taken(0, Seen(frozenset()))
    transaction = window.transaction(7, Position(100))
    assert transaction is not None
    list(transaction.touching(INDEX, [(b"a", b"new")]))
    assert window.held() == 100
    assert window.arrived(loaded(Seen(frozenset()), 50, {b"a": b"old", b"b": b"old"}))
    chunk = window.ready(Position(110))
    assert chunk is not None
    assert chunk.contents == {INDEX: {b"b": b"old"}}
    window.snapshot_taken(0, Seen(frozenset({7})))
    assert window.held() is None
    window.released(chunk)
    assert window.transaction(7, Position(100)) is None, "everybody sees it"


def test_a_chunk_waits_for_the_stream_and_for_nothing_else() -> None:
    """A transaction that never ends doesn't hold it up."""
    window = Window(1)
    assert window.arrived(loaded(Seen(frozenset()), 500, {b"a": b"x"}))
    assert window.ready(Position(499)) is None
    assert window.ready(Position(500)) is not None


def test_what_cannot_be_remembered_makes_a_chunk_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until its snapshot sees the transaction."""
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    window = Window(1)
    transaction = window.transaction(7, Position(100))
    assert transaction is not None
    list(transaction.touching(INDEX, [(b"%d" % n, b"x") for n in range(10)]))
    assert not window.arrived(loaded(Seen(frozenset()), 50, {b"a": b"x"}))
    assert window.arrived(loaded(Seen(frozenset({7})), 50, {b"a": b"x"}))


def test_what_is_kept_in_the_checkpoint_holds_nothing() -> None:
    """Only as many as fit there; a checkpoint names those that don't come again behind it."""
    window = Window(1)
    for xid in (7, 8, 9):
        assert window.transaction(xid, Position(10 * xid)) is not None
    assert [window.held(kept) for kept in range(4)] == [70, 80, 90, None]
    assert [sorted(window.unseen(Position(at))) for at in (70, 71, 90, 95)] == [
        [],
        [7],
        [7, 8],
        [7, 8, 9],
    ]


def test_what_came_before_anybody_looked_is_waited_for() -> None:
    """A chunk that doesn't see it is read again; nothing is held, and the next start knows it."""
    window = Window(1)
    window.doubt([7])
    assert not window.arrived(loaded(Seen(frozenset()), 50, {b"a": b"x"}))
    assert window.held() is None
    assert list(window.unseen(Position(0))) == [7]
    assert window.arrived(loaded(Seen(frozenset({7})), 50, {b"a": b"x"}))
    window.snapshot_taken(0, Seen(frozenset({7})))
    assert not window.unseen(Position(0))


def test_who_can_not_read_is_not_waited_for() -> None:
    """What the others have seen is forgotten; where nobody can read, nothing is."""
    window = Window(2)
    window.snapshot_taken(0, Seen(frozenset()))
    window.snapshot_taken(1, Seen(frozenset()))
    assert window.transaction(7, Position(100)) is not None
    window.snapshot_taken(0, Seen(frozenset({7})))
    assert window.held() == 100
    window.leave_out(frozenset({1}))
    assert window.held() is None
    window.leave_out(frozenset({0, 1}))
    assert window.transaction(8, Position(110)) is not None
    window.leave_out(frozenset({0, 1}))
    assert window.held() == 110
    window.leave_out(frozenset())
    window.snapshot_taken(0, Seen(frozenset({7, 8})))
    assert window.held() == 110, "the other one has come back, and hasn't looked yet"
    window.snapshot_taken(1, Seen(frozenset({7, 8})))
    assert window.held() is None
