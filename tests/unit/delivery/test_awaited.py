"""One document that somebody waits for: shown by a refresh that began after it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.delivery.awaited import AwaitedDocument
from cdc_daemon.delivery.dispatcher import Dispatcher
from cdc_daemon.delivery.lanes import Lanes
from cdc_daemon.delivery.progress import Progress
from cdc_daemon.events import Position

if TYPE_CHECKING:
    from cdc_daemon.delivery.lane import Lane

OWN, OTHER = b'"own"', b'"other"'


class Bench:
    """The reader, a sender and a refresher, by hand."""

    def __init__(self) -> None:
        self.changes, self.loading = Lanes(1, 10_000), Lanes(1, 10_000)
        self.progress = Progress((*self.changes, *self.loading))
        self.dispatcher = Dispatcher(
            self.changes, self.loading, 10**9, lambda: None, lambda *_: None
        )
        self.asked_for: list[str] = []

    def commit(self, position: int, *ids: bytes) -> None:
        """A transaction is read."""
        after = self.progress.received
        self.dispatcher.send("i", Position(position), [(one, b"{}") for one in ids], after=after)
        self.progress.received = Position(position)
        self.dispatcher.release()

    def write(self, lane: Lane | None = None) -> None:
        """A request is answered."""
        lane = lane or self.changes[0]
        batch = lane.take()
        assert batch is not None
        self.progress.written(batch)
        lane.done(batch)

    def refresh(self, *, succeeded: bool = True) -> None:
        """A refresh begins, and returns."""
        self.progress.begin_refresh(["i"])
        self.progress.end_refresh(self.progress.refreshing(), succeeded=succeeded)

    def waits_for(self, position: int, document_id: bytes | None = OWN) -> AwaitedDocument:
        """Somebody does."""
        return AwaitedDocument(
            ("i", document_id),
            Position(position),
            progress=self.progress,
            lanes=(*self.changes, *self.loading),
            show=self.asked_for.append,
        )


@pytest.fixture
def bench() -> Bench:
    """Everything up to 1 is there."""
    made = Bench()
    made.progress.received = Position(1)
    return made


def test_it_is_read_then_written_then_refreshed(bench: Bench) -> None:
    """Each step is needed, and the refresh is asked for once it is of use."""
    document = bench.waits_for(5)
    assert not document.is_shown()
    bench.commit(5, OWN)
    assert not document.is_shown()
    bench.refresh()
    assert not document.is_shown()
    assert bench.asked_for == []
    bench.write()
    assert not document.is_shown()
    assert bench.asked_for == ["i"]
    bench.refresh()
    assert document.is_shown()


def test_a_refresh_that_began_before_the_write_shows_nothing(bench: Bench) -> None:
    """Nor does one that fails."""
    bench.commit(3, OTHER)
    bench.write()
    bench.progress.begin_refresh(["i"])
    bench.commit(5, OWN)
    bench.write()
    document = bench.waits_for(5)
    assert not document.is_shown()
    bench.progress.end_refresh(bench.progress.refreshing(), succeeded=True)
    assert not document.is_shown()
    bench.refresh(succeeded=False)
    assert not document.is_shown()
    bench.refresh()
    assert document.is_shown()


def test_a_refresh_that_is_under_way_shows_what_was_written_before(bench: Bench) -> None:
    """If it succeeds; if not, the next one does."""
    bench.commit(5, OWN)
    bench.write()
    bench.progress.begin_refresh(["i"])
    document = bench.waits_for(5)
    assert not document.is_shown()
    bench.progress.end_refresh(bench.progress.refreshing(), succeeded=False)
    assert not document.is_shown()
    bench.refresh()
    assert document.is_shown()


def test_others_in_the_queues_are_not_waited_for(bench: Bench) -> None:
    """Neither another document that waits for the sink, nor what wide changes leave to be done."""
    bench.commit(3, OWN)
    bench.write()
    bench.refresh()
    bench.progress.incomplete = {"i": Position(1)}
    bench.dispatcher.load("i", Position(3), [(OTHER, b"{}")], after=Position(1))
    bench.commit(4, OTHER)
    assert bench.waits_for(4).is_shown()
    assert bench.progress.searchable_of(["i"]) == 1


def test_what_comes_later_of_it_is_not_waited_for(bench: Bench) -> None:
    """Otherwise one that changes all the time would never be shown."""
    bench.commit(5, OWN)
    document = bench.waits_for(5)
    assert not document.is_shown()
    bench.write()
    bench.commit(7, OWN)
    assert not document.is_shown()
    bench.refresh()
    assert document.is_shown()


def test_a_wide_change_of_it_is_waited_for_once_it_is_on_its_way(bench: Bench) -> None:
    """It may be what its own change was joined with."""
    bench.dispatcher.load("i", Position(1), [(OWN, b"{}")], after=Position(1))
    bench.commit(5, OWN)
    document = bench.waits_for(5)
    assert not document.is_shown()
    bench.write(bench.loading[0])
    bench.refresh()
    assert document.is_shown()


def test_one_that_may_lack_a_value_is_waited_for(bench: Bench) -> None:
    """It isn't in the lanes before that is known."""
    bench.progress.unfilled = Position(1)
    bench.commit(5)
    document = bench.waits_for(5)
    assert not document.is_shown()
    bench.dispatcher.send("i", Position(5), [(OWN, b"{}")], after=Position(1))
    bench.progress.unfilled = None
    assert not document.is_shown()
    bench.dispatcher.release()
    bench.write()
    assert not document.is_shown()
    bench.refresh()
    assert document.is_shown()


def test_nothing_is_shown_of_an_index_that_nobody_searches(bench: Bench) -> None:
    """Until searches see it, and then all of it."""
    bench.progress.build({"i"})
    bench.commit(5, OWN)
    bench.write()
    document = bench.waits_for(5)
    assert not document.is_shown()
    bench.progress.built(["i"])
    assert not document.is_shown()
    bench.progress.published(["i"])
    assert document.is_shown()


def test_nothing_is_shown_of_an_index_that_is_read_again(bench: Bench) -> None:
    """What was left to that load is shown by a refresh that began when it had ended."""
    bench.progress.leave_to_load(["i"])
    bench.commit(5, OWN)
    bench.write()
    document = bench.waits_for(5)
    bench.refresh()
    assert not document.is_shown()
    bench.progress.begin_refresh(["i"])
    bench.progress.load_ended(["i", "other"])
    bench.progress.end_refresh(bench.progress.refreshing(), succeeded=True)
    assert not document.is_shown()
    bench.refresh(succeeded=False)
    assert not document.is_shown()
    bench.refresh()
    assert document.is_shown()
    assert bench.progress.reread == frozenset()


def test_without_an_id_all_that_was_sent_is_waited_for(bench: Bench) -> None:
    """Where documents are routed nobody knows under which name one is in the lanes."""
    bench.commit(5, OTHER)
    document = bench.waits_for(5, None)
    assert not document.is_shown()
    bench.write()
    bench.refresh()
    assert document.is_shown()


def test_what_a_daemon_wrote_before_this_one_may_not_be_refreshed(bench: Bench) -> None:
    """It was killed, perhaps, between a request and a refresh."""
    bench.progress.unknown(["i"])
    document = bench.waits_for(1)
    assert not document.is_shown()
    assert bench.progress.searchable() == bench.progress.searchable_of(["i"]) == 0
    bench.refresh()
    assert document.is_shown()
    assert bench.progress.searchable() == bench.progress.searchable_of(["i"]) == 1
