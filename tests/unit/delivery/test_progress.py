"""Positions: nothing is durable before it is acknowledged, nor searchable before a refresh."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cdc_daemon.delivery.awaited import AwaitedDocument
from cdc_daemon.delivery.dispatcher import Dispatcher
from cdc_daemon.delivery.lanes import Lanes
from cdc_daemon.delivery.progress import Progress
from cdc_daemon.events import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cdc_daemon.delivery.lane import Batch, Lane

INDICES = ("one", "two")
IDS = [b'"%d"' % n for n in range(6)]
contents = st.lists(
    st.tuples(st.sampled_from(IDS), st.one_of(st.none(), st.binary())),
    max_size=4,
    unique_by=lambda content: content[0],
).map(lambda some: [(key, b"{" + body if body is not None else None) for key, body in some])


class Positions(RuleBasedStateMachine):
    """Reader, senders and refresher take turns in any order; a model knows what is where."""

    def __init__(self) -> None:
        super().__init__()
        self.divisible = Lanes(3, 800), Lanes(2, 800)
        self.lanes = [lane for lanes in self.divisible for lane in lanes]
        self.progress = Progress(self.lanes)
        self.dispatcher = Dispatcher(*self.divisible, 10**9, self.never, self.reject)
        self.taken: dict[int, Batch] = {}
        self.sent: list[tuple[str, bytes, int]] = []
        """Operations that nobody has acknowledged."""
        self.loaded: list[tuple[str, bytes, int]] = []
        """Operations of loads that nobody has acknowledged: part of no position."""
        self.marks: list[tuple[tuple[int, ...], list[tuple[str, bytes, int]]]] = []
        """What was sent before each mark."""
        self.owed: list[tuple[str, bytes, int]] = []
        """Documents of wide changes that are still to be made."""
        self.wide: list[tuple[tuple[str, bytes, int], int]] = []
        """Those that were made, as of which position, and that nobody has acknowledged."""
        self.hidden_wide: list[tuple[str, bytes, int]] = []
        self.awaited: list[tuple[AwaitedDocument, tuple[str, bytes, int]]] = []
        """Documents that somebody waits for, each up to a position."""
        self.hidden: list[tuple[str, bytes, int]] = []
        """Operations that are durable and not refreshed."""
        self.refreshing: list[tuple[str, bytes, int]] = []
        self.clock = 0
        self.last = dict.fromkeys(self.positions(), Position(0))

    def never(self) -> None:
        """The queues are never full here."""
        raise AssertionError

    def reject(self, *_: object) -> None:
        """No content is rejected here."""
        raise AssertionError

    @rule(changes=st.lists(contents, min_size=2, max_size=2), gap=st.integers(1, 5))
    def commit(self, changes: list[list[tuple[bytes, bytes | None]]], gap: int) -> None:
        """A transaction is sent, and only then received."""
        position = Position(self.clock + gap)
        for index, some in zip(INDICES, changes, strict=True):
            self.dispatcher.send(index, position, some, after=self.progress.received)
            self.sent.extend((index, key, position) for key, _ in some)
        self.invariants_in_between()
        self.clock = self.progress.received = position

    def invariants_in_between(self) -> None:
        """Another thread may look while the reader is half through a commit."""
        self.positions_are_proved()

    @rule(
        index=st.sampled_from(INDICES),
        keys=st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True),
    )
    def change_widely(self, index: str, keys: list[bytes]) -> None:
        """A commit changes what very many documents show, each to be made behind the stream."""
        position = Position(self.clock + 1)
        bounds = {index: self.progress.received, **self.progress.incomplete}
        self.progress.incomplete = bounds
        self.owed.extend((index, key, position) for key in keys)
        self.invariants_in_between()
        self.clock = self.progress.received = position

    @rule(number=st.integers(1, 3))
    def make_some(self, number: int) -> None:
        """The next documents of wide changes are made, as they are now, and put aside."""
        some, self.owed = self.owed[:number], self.owed[number:]
        for index, key, _ in some:
            after = self.progress.reachable_of(index)
            self.dispatcher.load(index, self.progress.received, [(key, b"{}")], after=after)
        self.wide += [(one, self.progress.received) for one in some]
        self.invariants_in_between()
        open_ = {index for index, _, _ in self.owed}
        bounds = self.progress.incomplete.items()
        self.progress.incomplete = {index: at for index, at in bounds if index in open_}

    @rule(index=st.sampled_from(INDICES), key=st.sampled_from(IDS), gap=st.integers(-6, 2))
    def await_document(self, index: str, key: bytes, gap: int) -> None:
        """Somebody waits for a document, up to what was committed a while ago, or will be."""
        position = Position(max(0, self.clock + gap))
        document = AwaitedDocument(
            (index, key),
            position,
            progress=self.progress,
            lanes=self.lanes,
            show=lambda _: None,
        )
        self.awaited.append((document, (index, key, position)))

    @rule(documents=contents, index=st.sampled_from(INDICES))
    def load(self, documents: list[tuple[bytes, bytes | None]], index: str) -> None:
        """Rows of a chunk are released."""
        version = self.progress.received
        some = {key: body or b"{}" for key, body in documents if (index, key) not in self.given()}
        self.dispatcher.load(index, version, some.items())
        self.loaded.extend((index, key, version) for key in some)

    def given(self) -> set[tuple[str, bytes]]:
        """Documents that have this very version already: a load doesn't give them another one."""
        return {one[:2] for one in self.sent if one[2] == self.progress.received}

    @rule()
    def mark(self) -> None:
        """Somebody wants to know when all this is durable."""
        self.marks.append((self.dispatcher.mark(), self.sent + self.loaded))

    @rule(gap=st.integers(0, 5))
    def watermark(self, gap: int) -> None:
        """An idle source moves on."""
        self.clock = self.progress.received = Position(self.clock + gap)

    @rule()
    def release(self) -> None:
        """Nothing more to read."""
        self.dispatcher.release()

    @rule(number=st.integers(0, 4))
    def take(self, number: int) -> None:
        """A sender takes a batch if there is one."""
        lane = self.lanes[number]
        if number not in self.taken and lane._next()[0] is not None:
            batch = lane.take()
            assert batch is not None
            self.nothing_overtakes(number, batch)
            self.taken[number] = batch

    def nothing_overtakes(self, number: int, batch: Batch) -> None:
        """No other lane holds something older of a document in `batch`."""
        versions = {(one.index, one.id): one.version for one in batch.operations}
        for other, lane in enumerate(self.lanes):
            for older in lane.pending() if other != number else ():
                for one in older.operations:
                    assert one.version >= versions.get((one.index, one.id), 0)

    @rule(in_use=st.sampled_from([1, 2, 3]), loading=st.booleans())
    def divide(self, in_use: int, *, loading: bool) -> None:
        """More or less is coming: documents change lanes."""
        lanes = self.divisible[loading]
        lanes._divide(min(in_use, len(lanes)))

    @rule(number=st.integers(0, 4))
    def acknowledge(self, number: int) -> None:
        """The sink has answered."""
        batch = self.taken.pop(number, None)
        if batch is None:
            return
        versions = {(one.index, one.id): one.version for one in batch.operations}
        done = [one for one in self.sent if one[2] <= versions.get(one[:2], -1)]
        self.hidden += done
        made = [one for one in self.wide if one[1] <= versions.get(one[0][:2], -1)]
        self.hidden_wide += [one for one, _ in made]
        self.wide = [one for one in self.wide if one not in made]
        self.sent = [one for one in self.sent if one not in done]
        self.loaded = [one for one in self.loaded if one[2] > versions.get(one[:2], -1)]
        self.progress.written(batch)
        self.positions_are_proved()
        self.lanes[number].done(batch)

    @precondition(lambda self: not self.refreshing)
    @rule(indices=st.sets(st.sampled_from(INDICES), min_size=1))
    def begin_refresh(self, indices: set[str]) -> None:
        """A refresh is asked for."""
        self.progress.begin_refresh(indices)
        places = (self.hidden, self.hidden_wide)
        self.refreshing = [one for place in places for one in place if one[0] in indices]

    @rule(succeeded=st.booleans())
    def end_refresh(self, *, succeeded: bool) -> None:
        """It has answered."""
        self.progress.end_refresh(self.progress.refreshing(), succeeded=succeeded)
        if succeeded:
            self.hidden = [one for one in self.hidden if one not in self.refreshing]
            self.hidden_wide = [one for one in self.hidden_wide if one not in self.refreshing]
        self.refreshing = []

    @rule()
    def touch(self) -> None:
        """A truncate changed an index beside the lanes, before its commit is received."""
        position = Position(self.clock + 1)
        self.progress.touched("one")
        self.hidden.append(("one", b"all", position))
        self.progress.received = position
        self.clock = position

    @invariant()
    def positions_are_proved(self) -> None:
        """Nothing at or below a position is unacknowledged or unrefreshed; positions only grow."""
        undone = self.sent + self.owed + [one for one, _ in self.wide]
        unseen = undone + self.hidden + self.hidden_wide
        for indices, (durable, searchable) in (now := self.positions()).items():
            assert all(at > durable for index, _, at in undone if index in indices)
            assert all(at > searchable for index, _, at in unseen if index in indices)
            assert searchable <= self.progress.received
            assert durable <= self.progress.received
            assert searchable >= self.last[indices]
            self.last[indices] = searchable
        assert now[INDICES][1] <= now[INDICES][0]
        for mark, before in self.marks:
            if self.dispatcher.passed(mark):
                assert not {*before} & {*self.sent, *self.loaded}

    def positions(self) -> dict[tuple[str, ...], tuple[Position, Position]]:
        """Of each index, and of all: how far it is durable and searchable."""
        progress = self.progress
        each: dict[tuple[str, ...], tuple[Position, Position]] = {
            (index,): (progress.durable_of((index,)), progress.searchable_of((index,)))
            for index in INDICES
        }
        return {**each, INDICES: (progress.durable(), progress.searchable())}

    @invariant()
    def documents_are_proved(self) -> None:
        """A document that is said to be shown isn't unacknowledged nor unrefreshed, as far as it
        isn't for a wide change.
        """  # noqa: D205 - one sentence
        unseen = self.sent + self.hidden
        for document, (index, key, position) in self.awaited:
            hindrance = document.hindrance()
            if document.is_shown():
                assert hindrance is None or hindrance.now() >= hindrance.number
                assert not [
                    one
                    for one in unseen
                    if one[0] == index and one[1] in {key, b"all"} and one[2] <= position
                ]

    def teardown(self) -> None:
        """At the end everything can be reached."""
        self.make_some(len(self.owed))
        self.dispatcher.release()
        while self.dispatcher.size_bytes:
            left = self.dispatcher.size_bytes, len(self.taken)
            for number in range(5):
                self.acknowledge(number)
                self.take(number)
            assert (self.dispatcher.size_bytes, len(self.taken)) != left, (
                "the lanes wait for each other"
            )
        for _ in range(2):
            self.end_refresh(succeeded=True)
            self.begin_refresh(set(INDICES))
            self.documents_are_proved()
        self.end_refresh(succeeded=True)
        assert not self.sent
        for document, (_, _, position) in self.awaited:
            assert document.is_shown() == (position <= self.progress.received)
        for index in INDICES:
            assert self.progress.searchable_of((index,)) == self.progress.received
        assert self.progress.searchable() == self.progress.durable() == self.progress.received
        assert self.dispatcher.size_bytes == 0


TestPositions = Positions.TestCase
TestPositions.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class Overtaken:
    """A lane that is looked at a moment before the reader goes on."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.then: Callable[[], None] = lambda: None

    def pending_from(self, indices: Collection[str] | None = None) -> Position | None:
        """What was pending before the reader went on."""
        found = self._lane.pending_from(indices)
        self.then()
        return found


@pytest.mark.parametrize("durable", [Progress.durable, lambda one: one.durable_of(("i",))])
@pytest.mark.parametrize(
    ("bound", "value", "lifted"),
    [("unfilled", Position(3), None), ("incomplete", {"i": Position(3)}, {})],
)
def test_a_bound_that_is_lifted_while_lanes_are_looked_at_still_counts(
    durable: Callable[[Progress], Position], bound: str, value: object, lifted: object
) -> None:
    """What it stood for is in a lane by then, which may have been looked at before."""
    lanes = Lanes(1, 10_000)
    overtaken = Overtaken(lanes[0])
    progress = Progress([cast("Lane", overtaken)])
    dispatcher = Dispatcher(lanes, Lanes(1, 1), 10**9, lambda: None, lambda *_: None)
    progress.received = Position(9)
    setattr(progress, bound, value)

    def go_on() -> None:
        dispatcher.send("i", Position(9), [(b"a", b"{}")], after=Position(3))
        setattr(progress, bound, lifted)

    overtaken.then = go_on
    assert durable(progress) == 3


def test_a_batch_keeps_the_last_operation_of_a_document() -> None:
    """Two commits that meet in a batch leave one operation a document, of the later version."""
    lanes = Lanes(1, 10_000)
    lane = lanes[0]
    dispatcher = Dispatcher(lanes, Lanes(1, 1), 10**9, lambda: None, lambda *_: None)
    dispatcher.send("i", Position(5), [(b"a", b"{1}"), (b"b", b"{1}")], after=Position(3))
    dispatcher.send("i", Position(7), [(b"a", None)], after=Position(5))
    dispatcher.release()
    batch = lane.take()
    assert batch is not None
    assert {one.id: (one.version, one.body) for one in batch.operations} == {
        b"a": (7, None),
        b"b": (5, b"{1}"),
    }
    assert batch.after == 3
    lane.done(batch)
    assert dispatcher.size_bytes == 0


def test_rejected_contents_are_handed_over_and_not_sent() -> None:
    """A row that can't be a document goes to the dead letters, in groups, its neighbours on."""
    groups: list[int] = []
    dispatcher = Dispatcher(
        Lanes(1, 10**9),
        Lanes(1, 1),
        10**9,
        lambda: None,
        lambda _, __, rejected: groups.append(len(rejected)),
    )
    some = [(b"%d" % n, b"!why" if n % 2 else b"{}") for n in range(900)]
    assert dispatcher.send("i", Position(5), some, after=Position(3)) == 450
    assert groups == [200, 200, 50]


def test_a_closed_lane_gives_nothing_more() -> None:
    """What waits is not taken: its position isn't durable, so it comes again."""
    lanes = Lanes(1, 1)
    lane = lanes[0]
    dispatcher = Dispatcher(lanes, Lanes(1, 1), 10**9, lambda: None, lambda *_: None)
    dispatcher.send("i", Position(5), [(b"a", b"{}")], after=Position(3))
    lane.close()
    started = time.monotonic()
    assert lane.take() is None
    assert time.monotonic() - started < 1
    assert lane.pending_from() == 3
