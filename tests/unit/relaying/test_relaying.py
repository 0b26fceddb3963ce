"""When the reader of a relay settles what it has passed on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from cdc_daemon.config.strong import StrongConfig
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.events import (
    Begin,
    Change,
    ChangeKind,
    Checkpoint,
    Commit,
    Position,
    Watermark,
)
from cdc_daemon.metrics import Metrics
from cdc_daemon.relaying import relaying as module
from cdc_daemon.relaying.relaying import Relaying
from cdc_daemon.relaying.snapshot import Snapshot
from cdc_daemon.relaying.start import RelayBegun
from tests.generators.by_hand import table
from tests.generators.scripted_source import MemoryClock, ScriptedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.events import Event
    from cdc_daemon.ports import Relay

HOTEL = table("id", "name")
CHANGES = 3
"""In each transaction, which so has five events."""


class MemoryRelay:
    """A `Relay` that holds a byte for each change, and notes what is settled."""

    idle_seconds = 60.0
    is_due = False

    def __init__(self) -> None:
        self.held = 0
        self.settled: list[tuple[Position, int]] = []
        """The position of each checkpoint, and what was held."""
        self.seen: list[bool] = []
        """Whether each was waited for until readers see it."""
        self.look: Callable[[], Position] | None = None
        """How far we are said to be."""
        self.reached: list[Position] = []
        """What it said while readers didn't see yet what was no longer held."""

    def begin(self, begin: Begin) -> None:
        """Nothing to write."""

    def change(self, change: Change) -> None:  # noqa: ARG002 - the port has it
        """A byte."""
        self.held += 1

    def commit(self, commit: Commit) -> None:
        """Nothing to write."""

    def passed(self, position: Position) -> None:
        """Nothing to write."""

    def settle(
        self,
        checkpoint: Checkpoint,
        meanwhile: Callable[[], None],  # noqa: ARG002 - the port has it
        *,
        seen: bool,
    ) -> None:
        """Note it."""
        self.settled.append((checkpoint.position, self.held))
        self.seen.append(seen)
        self.held = 0
        if self.look is not None:
            self.reached.append(self.look())

    def wait_by(self, meanwhile: Callable[[], None]) -> None:
        """There is always room."""


def transactions(first: int, last: int) -> Iterator[Event]:
    """One at each of these positions, with as many changes."""
    for position in range(first, last + 1):
        yield Begin(position, 0.0, 1)
        for _ in range(CHANGES):
            yield Change(HOTEL, ChangeKind.INSERT, [b"1", b'"Astoria"'])
        yield Commit(Position(position), 0.0)


def follow(reads: Sequence[Sequence[Event]], strong: StrongConfig | None = None) -> MemoryRelay:
    """Pass these on after position 100, and stop behind the last of them."""
    source, relay, stopping = ScriptedSource(), MemoryRelay(), threading.Event()
    source.script.extend(reads)
    checkpoint = Checkpoint("store", Position(100), source.history)
    begun = RelayBegun([HOTEL], checkpoint, Snapshot([HOTEL], (), source.chunk_reader()))
    metrics = Metrics("store", 1)
    monitor = Monitor(MemoryClock(), metrics, strong)
    relaying = Relaying(
        source, cast("Relay", relay), begun, monitor, metrics, lambda _state, _why: None
    )
    relay.look = lambda: relaying.reached
    last = reads[-1]
    read = source.read

    def read_to_the_end(timeout_seconds: float) -> Sequence[Event]:
        events = read(timeout_seconds)
        if events is last:
            stopping.set()
        return events

    source.read = read_to_the_end  # type: ignore[method-assign]
    relaying.follow(stopping)
    return relay


@pytest.mark.parametrize("why", ["LINGER_SECONDS", "SETTLE_BYTES"])
def test_a_backlog_is_settled_though_each_read_ends_amid_a_transaction(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a commit, wherever in a read it stands, once it is time or enough is held."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 3600.0)
    monkeypatch.setattr(module, why, 0)
    events = list(transactions(101, 120))
    amid = [events[:3], *(events[at : at + 5] for at in range(3, len(events) - 2, 5))]
    relay = follow(amid)
    assert relay.settled == [(position, CHANGES) for position in range(101, 120)]


def test_under_load_transactions_are_settled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit alone is no reason, nor is the end of a read that brought something."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 3600.0)
    relay = follow([list(transactions(101, 110)), list(transactions(111, 120))])
    assert relay.settled == [(120, 20 * CHANGES)]


def test_at_a_stop_an_open_transaction_leaves_nothing() -> None:
    """What was settled before stays; the transaction comes again as a whole."""
    relay = follow([list(transactions(101, 110)), [], list(transactions(111, 111))[:-1]])
    assert relay.settled[-1][0] == 110
    assert relay.held == CHANGES


@pytest.mark.parametrize("strong", [None, StrongConfig()])
def test_what_commits_wait_for_is_settled_once_readers_see_it(strong: StrongConfig | None) -> None:
    """Nobody waits for it elsewhere; and where nothing is held there is nothing to be seen."""
    passed = Watermark(Position(150), urgent=True)
    relay = follow([list(transactions(101, 101)), [], [passed]], strong)
    assert relay.settled[:2] == [(101, CHANGES), (150, 0)]
    assert relay.seen[:2] == [strong is not None, False]


def test_nothing_counts_as_reached_while_it_is_being_settled() -> None:
    """Though nothing is held any more: readers may not see it yet."""
    relay = follow([list(transactions(101, 101)), [], list(transactions(102, 102)), []])
    assert relay.settled[:2] == [(101, CHANGES), (102, CHANGES)]
    assert relay.reached[:2] == [100, 101]
