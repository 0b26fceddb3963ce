"""A backfill over a scripted source and a sink in memory, driven by the reader."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from cdc_daemon.errors import RetryError, RewrittenError, SourceError
from cdc_daemon.events import Change, ChangeKind, Commit, Load, Position, Watermark
from cdc_daemon.ports import Standing
from tests.generators.conditions import wait_until
from tests.generators.memory_sink import MemorySink, Trouble
from tests.generators.scripted_source import ScriptedSource
from tests.unit.backfill.conftest import BLOCKS, HOTELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.backfill.conftest import Loading


def test_all_rows_come_in_and_are_shown_when_all_are_durable(
    make: Callable[..., Loading],
) -> None:
    """Searches never see a part of a load, whatever the sink does meanwhile."""
    loading = make(
        sink=MemorySink(Trouble(seed=5, lost=0.2, overloaded=0.01, refresh=0.3, store=0.3))
    )
    seen: list[tuple[int, tuple[Load, ...]]] = []
    real = loading.sink.publish

    def watched(generation: object) -> object:
        found = len(loading.sink.index(loading.index).searchable)
        seen.append((found, loading.stored().loads))
        return real(generation)  # type: ignore[arg-type]  # as given

    loading.sink.publish = watched  # type: ignore[method-assign, assignment]  # and looked at
    loading.start()
    assert loading.all_loaded.wait(20), loading.failures
    loading.sink.trouble = Trouble()
    assert seen[-1] == (2000, ()), "shown when all is searchable, and the checkpoint says so"
    assert loading.sink.aliases == {"hotels": loading.index}
    assert loading.sink.index(loading.index).searchable[b'"1999"'] == (100, b'{"n":99}')
    assert wait_until(lambda: loading.source.said == ["chunk reader closed"] * 2, 5)


def test_workers_that_never_ran_leave_no_reader_open(make: Callable[..., Loading]) -> None:
    """The stream hasn't begun by the time of the end; a source may count who may still read."""
    loading = make()
    for _ in range(2):
        loading.backfill.close()
        loading.backfill.close()
    assert set(loading.source.said) == {"chunk reader closed"}


def test_the_stream_goes_on_meanwhile_and_wins(make: Callable[..., Loading]) -> None:
    """A change that no chunk sees is newer than every chunk, whenever those are written."""
    loading = make(reached=200)  # chunks wait until the stream is there
    new = [b'"5"', b'{"n":"new"}']
    gone = [b'"7"', b"null"]
    loading.source.script = [
        [
            Change(HOTELS.relation, ChangeKind.UPDATE, new),  # type: ignore[arg-type]  # bytes
            Change(HOTELS.relation, ChangeKind.DELETE, None, gone),  # type: ignore[arg-type]
            Commit(Position(150), 0.0, xid=2000),
        ],
    ]
    loading.start()
    assert wait_until(lambda: b'"5"' in loading.sink.index(loading.index).documents, 5)
    assert len(loading.sink.index(loading.index).documents) < 100
    loading.source.script = [[Watermark(Position(300))]]
    loading.source.wake()
    assert loading.all_loaded.wait(20)
    shown = loading.sink.index(loading.index).searchable
    assert shown[b'"5"'] == (150, b'{"n":"new"}')
    assert shown[b'"6"'] == (300, b'{"n":6}')
    assert b'"7"' not in shown or shown[b'"7"'][1] is None


def test_a_load_goes_on_where_it_was(make: Callable[..., Loading]) -> None:
    """What the checkpoint says is durable isn't read again."""
    reader = ScriptedSource([[]] * BLOCKS).chunk_reader()
    planned = reader.plan(HOTELS.relation)
    load = Load(HOTELS.relation.qualified_name, ("hotels",), tuple(planned[15:]), rows=1500)
    loading = make(load=load)
    loading.start()
    assert loading.all_loaded.wait(20)
    assert len(loading.sink.index(loading.index).searchable) == 500


def test_a_table_that_has_joined_the_stream_is_settled_first(
    make: Callable[..., Loading],
) -> None:
    """Once: a start that goes on from there doesn't wait again."""
    load = Load(HOTELS.relation.qualified_name, ("hotels",), joined=True)
    for one, waits in ((load, True), (replace(load, settled=True), False)):
        loading = make(load=one)
        loading.start()
        assert loading.all_loaded.wait(20)
        assert ("settled public.hotels" in loading.source.said) is waits


def test_what_is_durable_is_in_the_checkpoint(make: Callable[..., Loading]) -> None:
    """While it loads, so that a crash costs no more than a second of reading."""
    loading = make(reached=200)
    loading.start()
    time.sleep(0.3)  # chunks are read, and wait for the stream
    loading.backfill.pause(paused=True)
    loading.source.script = [[Watermark(Position(300))]]
    loading.source.wake()

    def durable() -> bool:
        (load,) = loading.stored().loads
        return 0 < load.rows == len(loading.sink.index(loading.index).documents)

    assert wait_until(durable, 5)
    (load,) = loading.stored().loads
    assert load.todo is not None
    assert len(load.todo) <= 4, "adjacent chunks are one"
    assert load.blocks == BLOCKS


def test_nothing_is_read_while_it_is_paused(make: Callable[..., Loading]) -> None:
    """And everything afterwards."""
    loading = make()
    loading.backfill.pause(paused=True)
    loading.start()
    assert not loading.all_loaded.wait(0.3)
    assert len(loading.sink.index(loading.index).documents) <= 400, "what was out already"
    loading.backfill.pause(paused=False)
    assert loading.all_loaded.wait(20)
    assert len(loading.sink.index(loading.index).searchable) == 2000


def test_what_passes_is_tried_again(make: Callable[..., Loading]) -> None:
    """A lost connection, and a table that was rewritten while it was read."""
    loading = make()
    loading.source.chunk_errors = [
        RetryError("the connection was cut", reason="unavailable"),
        RewrittenError("the table was rewritten"),
        RetryError("the table is locked", reason="locked"),
        RewrittenError("the table was rewritten"),
    ]
    loading.start()
    assert loading.all_loaded.wait(20), loading.failures
    assert len(loading.sink.index(loading.index).searchable) == 2000


def test_what_only_a_person_can_mend_ends_the_reader(make: Callable[..., Loading]) -> None:
    """Nothing is shown, and the next start goes on with the load."""
    loading = make()
    loading.source.chunk_errors = [SourceError("row security hides rows")]
    loading.start()
    assert wait_until(lambda: bool(loading.failures), 5)
    assert isinstance(loading.failures[0], SourceError)
    assert loading.sink.aliases == {}
    assert loading.stored().loads


def test_a_source_that_is_lost_while_rows_are_released_takes_none_along(
    make: Callable[..., Loading],
) -> None:
    """The reader waits for room in the middle of a chunk, and finds its connection gone."""
    loading = make(queue=25_000)
    loading.sink.gate.clear()
    real, lost = loading.source.confirm, threading.Event()

    def confirm(**positions: Position) -> None:
        if loading.delivery.dispatcher.size_bytes >= 25_000 and not lost.is_set():
            lost.set()
            raise RetryError("the connection was cut", reason="unavailable")
        real(**positions)

    loading.source.confirm = confirm  # type: ignore[method-assign]  # it is cut once
    loading.start()
    assert lost.wait(10)
    loading.sink.gate.set()
    assert loading.all_loaded.wait(20), loading.failures
    assert len(loading.sink.index(loading.index).searchable) == 2000


def test_what_chunks_may_not_see_is_held_before_it_is_sent(make: Callable[..., Loading]) -> None:
    """Whoever waits for room while it is sent reports what may be confirmed."""
    loading = make()
    loading.delivery.progress.received = Position(120)
    assert loading.backfill.transaction(2000) is not None
    assert loading.delivery.progress.held == 120
    assert loading.delivery.progress.confirmable() <= 120


def test_what_commits_wait_for_is_not_held_back_by_what_chunks_may_not_see(
    make: Callable[..., Loading],
) -> None:
    """Nobody sees a commit that waits for us before it is confirmed: the checkpoint names it."""
    loading = make(reached=200)  # chunks wait until the stream is there
    loading.delivery.monitor.strong.sampled(Standing(named=True))
    changed = Change(HOTELS.relation, ChangeKind.UPDATE, [b'"5"', b'{"n":"new"}'])
    loading.source.script = [[changed, Commit(Position(150), 0.0, xid=2000)]]
    loading.start()
    assert wait_until(lambda: [one[1] for one in loading.source.confirmed[-1:]] == [150], 5)
    assert loading.stored().unseen == (2000,)
    loading.source.visible_below = 3000
    loading.source.script = [[Watermark(Position(300))]]
    loading.source.wake()
    assert loading.all_loaded.wait(20)
    assert loading.sink.index(loading.index).searchable[b'"5"'] == (150, b'{"n":"new"}')
    loading.source.script = [[Watermark(Position(310))]]
    loading.source.wake()
    assert wait_until(lambda: loading.stored().position == 310, 5)
    assert loading.stored().unseen == ()


def test_a_chunk_that_does_not_see_what_the_checkpoint_names_is_read_again(
    make: Callable[..., Loading],
) -> None:
    """That commit was confirmed before a crash: it doesn't come again."""
    loading = make(unseen=(2000,))
    loading.start()
    assert not loading.all_loaded.wait(0.5)
    assert not loading.sink.index(loading.index).documents
    loading.source.visible_below = 3000
    assert loading.all_loaded.wait(20), loading.failures
    assert len(loading.sink.index(loading.index).searchable) == 2000


def test_a_source_that_is_lost_while_a_load_is_shown_does_not_end_it(
    make: Callable[..., Loading],
) -> None:
    """The next connection shows it, and what was held is let go."""
    loading = make()
    shown, lost = loading.sink.publish, threading.Event()
    real = loading.source.confirm

    def slow(generation: object) -> object:
        lost.wait(5)
        return shown(generation)  # type: ignore[arg-type]  # as given

    def confirm(**positions: Position) -> None:
        if not loading.stored().loads and not lost.is_set():
            lost.set()
            raise RetryError("the connection was cut", reason="unavailable")
        real(**positions)

    loading.sink.publish = slow  # type: ignore[method-assign, assignment]  # as long as a refresh
    loading.source.confirm = confirm  # type: ignore[method-assign]  # it is cut once
    loading.start()
    assert loading.all_loaded.wait(20), loading.failures
    assert lost.is_set()
    assert loading.sink.aliases == {"hotels": loading.index}
    assert loading.delivery.progress.held is None
    assert not loading.delivery.progress.building


def test_chunks_wait_while_there_is_no_stream(make: Callable[..., Loading]) -> None:
    """A transaction that was taken out of one, and forgotten, may be lost with the source."""
    loading = make()
    loading.delivery.progress.received = Position(100)
    loading.backfill.connected_again()
    assert wait_until(lambda: loading.backfill.chunks_out > 0, 5)
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        loading.backfill.write()
        time.sleep(0.01)
    assert loading.delivery.dispatcher.sent == 0

    def follows() -> bool:
        loading.backfill.step()
        return loading.delivery.dispatcher.sent > 0

    assert wait_until(follows, 5)
