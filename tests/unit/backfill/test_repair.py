"""Rows are read again into a read model that is searched, on demand, and it comes out true."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.backfill import requests as requests_module
from cdc_daemon.backfill.control import ConflictError, UnknownNameError, Wish
from cdc_daemon.backfill.requests import BusyError
from cdc_daemon.backfill.todo import blocks
from cdc_daemon.errors import ConditionError, RetryError, SourceError
from cdc_daemon.events import UNCHANGED, Change, ChangeKind, Commit, Load, Position, Watermark
from tests.generators.conditions import wait_until
from tests.generators.scripted_source import Below, ScriptedSource
from tests.unit.backfill.conftest import HOTELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.backfill.conftest import Loading

TABLE = HOTELS.relation.qualified_name
REPAIR = Wish(projection="hotels")
PLANNED = ScriptedSource([[]] * 20).chunk_reader().plan(HOTELS.relation)


def loaded(make: Callable[..., Loading]) -> Loading:
    """A read model that is loaded and searched, and was then changed behind our back."""
    loading = make(load=None)
    for number in range(2000):
        loading.write(number, 100, b'{"n":%d}' % (number % 100))
    loading.write(5, 101, b'{"n":"altered"}')
    loading.write(9999, 1, b'{"n":"a ghost"}')
    del loading.sink.index(loading.index).documents[b'"7"']
    loading.start()
    assert wait_until(lambda: bool(loading.source.started), 5)
    return loading


def is_true(loading: Loading) -> bool:
    """Whether searches find what the rows say, and nothing else."""
    return loading.shown() == {b'"%d"' % one: b'{"n":%d}' % (one % 100) for one in range(2000)}


def outcomes(loading: Loading) -> list[str]:
    """How loads have ended."""
    return [one["outcome"] for one in loading.control.show()["ended"]]


def test_what_was_altered_deleted_or_added_comes_right(make: Callable[..., Loading]) -> None:
    """Also where the source is idle; and a second time."""
    loading = loaded(make)
    for times in (1, 2):
        loading.control.start(REPAIR)
        assert wait_until(lambda: not loading.backfill.has_work, 10), loading.failures
        assert outcomes(loading) == ["repaired"] * times
        assert wait_until(lambda: is_true(loading), 5)
        assert wait_until(lambda: loading.stored().loads == (), 5)
    assert loading.sink.aliases == {"hotels": loading.index}
    assert not loading.delivery.progress.building
    assert not loading.backfill.loading


def test_only_rows_that_meet_a_condition_come_right(make: Callable[..., Loading]) -> None:
    """The others stay as they are, and so do documents without a row; it goes on after a crash."""
    loading = loaded(make)
    loading.write(77, 101, b'{"n":"altered, too"}')
    loading.source.at = Position(500)  # chunks wait until the stream is there
    loading.control.start(Wish(table=TABLE, where="7"))
    assert wait_until(lambda: bool(loading.stored().loads), 5)
    assert [load.where for load in loading.stored().loads] == ["7"]
    assert [load["partly"] for load in loading.control.show()["loads"]] == [True]
    loading.source.script = [[Watermark(Position(600))]]
    loading.source.wake()
    assert wait_until(lambda: outcomes(loading) == ["repaired"], 10), loading.failures
    written = loading.sink.index(loading.index).documents
    bodies = {key: written[b'"%d"' % key][1] for key in (7, 77, 5, 9999)}
    assert (bodies[7], bodies[77]) == (b'{"n":7}', b'{"n":77}')
    assert (bodies[5], bodies[9999]) == (b'{"n":"altered"}', b'{"n":"a ghost"}')
    assert wait_until(lambda: loading.stored().loads == (), 5)


def test_a_condition_that_the_source_refuses_begins_nothing(make: Callable[..., Loading]) -> None:
    """Who asks is told; where the source is away, to ask again."""
    loading = loaded(make)
    loading.source.refuses_conditions = True
    with pytest.raises(ConditionError, match="the source refuses"):
        loading.control.start(Wish(table=TABLE, where="7"))
    assert loading.control.show()["loads"] == []
    assert loading.source.said.count("chunk reader closed") == 1


def test_the_stream_goes_on_into_what_is_repaired(make: Callable[..., Loading]) -> None:
    """What it changes meanwhile is newer than what is read, and is searched at once."""
    loading = loaded(make)
    loading.source.at = Position(500)  # chunks wait until the stream is there
    loading.control.start(Wish(table=TABLE))
    assert loading.stored().loads or wait_until(lambda: bool(loading.stored().loads), 5)
    (load,) = loading.stored().loads
    assert (load.since, load.projections) == (150, ("hotels",))
    new = [b'"5"', b'{"n":"new"}']
    loading.source.script = [
        [
            Change(HOTELS.relation, ChangeKind.UPDATE, new),  # type: ignore[arg-type]  # bytes
            Change(HOTELS.relation, ChangeKind.DELETE, None, [b'"8"', b"null"]),
            Commit(Position(200), 0.0, xid=2000),
        ],
    ]
    loading.source.wake()
    assert wait_until(lambda: loading.shown().get(b'"5"') == b'{"n":"new"}', 5), "while it loads"
    assert outcomes(loading) == []
    loading.source.script = [[Watermark(Position(600))]]
    loading.source.wake()
    assert wait_until(lambda: outcomes(loading) == ["repaired"], 10), loading.failures
    assert wait_until(lambda: len(loading.shown()) == 1999, 5)
    shown = loading.shown()
    assert shown[b'"5"'] == b'{"n":"new"}'
    assert b'"8"' not in shown
    assert b'"9999"' not in shown


def test_a_commit_that_no_snapshot_sees_yet_is_waited_for(
    make: Callable[..., Loading],
) -> None:
    """It was streamed just before the repair began; its document would be deleted otherwise."""
    loading = loaded(make)
    row = [b'"4000"', b'{"n":"committed"}']
    loading.source.script = [
        [
            Change(HOTELS.relation, ChangeKind.INSERT, row),  # type: ignore[arg-type]  # bytes
            Commit(Position(140), 0.0, xid=2000),
        ],
    ]
    loading.source.wake()
    assert wait_until(lambda: b'"4000"' in loading.shown(), 5)
    loading.control.start(REPAIR)
    assert not wait_until(lambda: outcomes(loading) != [], 0.5), "every chunk is read again"
    assert b'"4000"' in loading.shown()
    loading.source.blocks = [[*loading.source.blocks[0], row], *loading.source.blocks[1:]]  # type: ignore[list-item]
    loading.source.visible_below = 3000
    assert wait_until(lambda: outcomes(loading) == ["repaired"], 10), loading.failures
    assert wait_until(lambda: len(loading.shown()) == 2001, 5)


def leave_out_a_value(loading: Loading) -> None:
    """Rows are read, and one is updated whose value the stream doesn't bring."""
    assert wait_until(lambda: len(loading.backfill._window) > 0, 5)
    row = [b'"5"', UNCHANGED]
    loading.source.script = [
        [
            Change(HOTELS.relation, ChangeKind.UPDATE, row, has_unchanged=True),  # type: ignore[arg-type]  # bytes
            Commit(Position(200), 0.0, xid=2000),
        ],
        [Watermark(Position(600))],
    ]
    loading.source.wake()


def bring_the_value(loading: Loading) -> None:
    """A snapshot sees the update."""
    loading.source.by_key[("5",)] = [b'"5"', b'{"n":"new"}']
    loading.source.seen = Below(3000)
    assert wait_until(lambda: outcomes(loading) == ["repaired"], 10), loading.failures
    assert wait_until(lambda: len(loading.shown()) == 2000, 5), "the ghost is gone"
    assert loading.shown()[b'"5"'] == b'{"n":"new"}'
    assert wait_until(lambda: loading.stored().loads == (), 5)


def test_a_document_that_waits_for_a_value_is_not_deleted(make: Callable[..., Loading]) -> None:
    """The stream has taken it out of its chunk, and can't write it yet: it stays as it was."""
    loading = loaded(make)
    loading.source.at = Position(500)  # chunks wait until the stream is there
    loading.control.start(REPAIR)
    leave_out_a_value(loading)
    assert not wait_until(lambda: outcomes(loading) != [], 1), "its value isn't there"
    assert loading.shown()[b'"5"'] == b'{"n":"altered"}'
    assert wait_until(lambda: loading.backfill.chunks_out == 0, 5), "all others are read meanwhile"
    # A chunk that is read again after a crash is enough.
    assert wait_until(lambda: [load.rows for load in loading.stored().loads] == [1900], 5)
    assert [blocks(load.todo or ()) for load in loading.stored().loads] == [1]
    bring_the_value(loading)


def test_nor_is_it_after_a_restart(make: Callable[..., Loading]) -> None:
    """What left the value out comes again before the chunk that is read again may go."""
    load = Load(TABLE, ("hotels",), tuple(PLANNED[19:]), rows=1900, since=Position(90))
    loading = make(load=load)
    for number in range(1900):
        loading.write(number, 95, b'{"n":%d}' % (number % 100))
    loading.write(5, 80, b'{"n":"altered"}')
    loading.write(9999, 89, b'{"n":"a ghost"}')
    loading.source.at = Position(500)
    loading.start()
    leave_out_a_value(loading)
    assert not wait_until(lambda: outcomes(loading) != [], 1), "its value isn't there"
    assert loading.sink.index(loading.index).documents[b'"5"'] == (80, b'{"n":"altered"}')
    bring_the_value(loading)


def test_a_repair_goes_on_after_a_restart(make: Callable[..., Loading]) -> None:
    """With what was left, in the index that is searched; what is older than its beginning goes."""
    load = Load(TABLE, ("hotels",), tuple(PLANNED[15:]), rows=1500, since=Position(90))
    loading = make(load=load)
    for number in range(1500):
        loading.write(number, 95, b'{"n":%d}' % (number % 100))
    loading.write(9999, 89, b'{"n":"a ghost"}')
    assert not loading.delivery.progress.building
    loading.start()
    assert wait_until(lambda: outcomes(loading) == ["repaired"], 10), loading.failures
    assert wait_until(lambda: is_true(loading), 5)


def test_a_repair_is_cancelled(make: Callable[..., Loading]) -> None:
    """The read model stays as it is, nothing is deleted, and another repair can begin."""
    loading = loaded(make)
    loading.source.at = Position(5000)
    loading.delivery.monitor.nudge_soon = lambda: None  # type: ignore[method-assign]  # idle
    loading.source.script = [[Watermark(Position(120))]]
    loading.source.wake()
    loading.control.start(REPAIR)
    assert wait_until(lambda: len(loading.backfill._window) == 4, 5), "all wait for the stream"
    loading.control.cancel(Wish())
    assert outcomes(loading) == ["cancelled"]
    assert loading.control.show()["loads"] == []
    loading.source.script = [[Watermark(Position(6000))]]
    loading.source.wake()
    assert wait_until(lambda: loading.stored().loads == (), 5)
    assert not any(what == "delete_before" for what, _ in loading.sink.said)
    assert loading.sink.index(loading.index).documents[b'"9999"'] == (1, b'{"n":"a ghost"}')
    loading.control.start(REPAIR)
    assert wait_until(lambda: outcomes(loading) == ["cancelled", "repaired"], 10)
    assert wait_until(lambda: is_true(loading), 5)


def test_a_chunk_that_comes_after_the_cancelling_is_for_nobody(
    make: Callable[..., Loading],
) -> None:
    """Also one that can't be read; another load doesn't mind."""
    loading = loaded(make)
    loading.source.may_read.clear()
    loading.source.chunk_errors = [RetryError("away", reason="unavailable")]
    loading.control.start(REPAIR)
    assert wait_until(lambda: loading.backfill.chunks_out == 2, 5), "both workers read"
    loading.control.cancel(REPAIR)
    loading.control.start(REPAIR)
    loading.source.may_read.set()
    assert wait_until(lambda: outcomes(loading) == ["cancelled", "repaired"], 10), loading.failures
    assert wait_until(lambda: is_true(loading), 5)


def test_what_only_a_person_can_mend_ends_the_repair_and_not_the_stream(
    make: Callable[..., Loading],
) -> None:
    """The next start would end with it, too; the reason is shown."""
    loading = loaded(make)
    loading.source.chunk_errors = [SourceError("row security hides rows")]
    loading.control.start(REPAIR)
    assert wait_until(lambda: outcomes(loading) == ["failed"], 10)
    assert loading.control.show()["ended"][0]["reason"] == "row security hides rows"
    assert wait_until(lambda: loading.stored().loads == (), 5)
    assert loading.failures == []
    loading.control.start(REPAIR)
    assert wait_until(lambda: outcomes(loading) == ["failed", "repaired"], 10)
    assert wait_until(lambda: is_true(loading), 5)


def test_nothing_is_read_again_while_replicas_share_the_documents(
    make: Callable[..., Loading],
) -> None:
    """A repair has one writer; the message says what to do."""
    loading = loaded(make)
    loading.delivery.others_came_to(Position(90), Position(90))
    with pytest.raises(ConflictError, match="stop the others"):
        loading.control.start(REPAIR)


CHANGED = Load(TABLE, ("hotels",), since=Position(90), why="column x was rewritten")


def test_what_a_changed_table_needs_can_not_be_cancelled(make: Callable[..., Loading]) -> None:
    """Changes of the stream were left to it; the message says what has changed."""
    loading = make(load=CHANGED)
    loading.backfill.pause(paused=True)
    loading.start()
    assert loading.control.show()["loads"][0]["why"] == CHANGED.why
    with pytest.raises(ConflictError, match=r"column x was rewritten.*backfill pause"):
        loading.control.cancel(Wish())
    loading.control.pause(paused=False)
    assert wait_until(lambda: outcomes(loading) == ["repaired"], 10)


def test_what_a_changed_table_needs_is_not_given_up(make: Callable[..., Loading]) -> None:
    """Where its rows can't be read the daemon stops: the next start goes on with it."""
    loading = make(load=CHANGED)
    loading.source.chunk_errors = [SourceError("row security hides rows")]
    loading.start()
    assert wait_until(lambda: bool(loading.failures), 10)
    assert str(loading.failures[0]) == "row security hides rows"
    assert loading.stored().loads[0].why == CHANGED.why


def test_a_first_load_cannot_be_cancelled_nor_repaired(make: Callable[..., Loading]) -> None:
    """Nobody could search the index without its rows; the message says what can be done."""
    loading = make()
    loading.backfill.pause(paused=True)
    loading.start()
    with pytest.raises(ConflictError, match=r"can't be searched without them.*backfill pause"):
        loading.control.cancel(Wish())
    with pytest.raises(ConflictError, match="already"):
        loading.control.start(REPAIR)
    loading.control.pause(paused=False)
    assert loading.all_loaded.wait(20)
    assert outcomes(loading) == ["loaded"]
    with pytest.raises(ConflictError, match="nothing to cancel"):
        loading.control.cancel(REPAIR)
    with pytest.raises(ConflictError, match="nothing to pause"):
        loading.control.pause(paused=True)


def test_rows_that_are_only_in_messages_are_not_repaired(
    make: Callable[..., Loading], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a repair deletes what has a lower version, and theirs are others."""
    loading = make()
    loading.start()
    assert loading.all_loaded.wait(20)
    (hotels,) = loading.control._compiled.projections
    monkeypatch.setattr(hotels, "relation", replace(hotels.relation, has_rows=False))
    with pytest.raises(ConflictError, match=r"only what messages have said.*rename hotels"):
        loading.control.start(REPAIR)


def test_names_that_are_not_there(make: Callable[..., Loading]) -> None:
    """The message has the nearest."""
    loading = make(load=None)
    with pytest.raises(UnknownNameError, match="hotel is mapped; did you mean hotels"):
        loading.control.start(Wish(projection="hotel"))
    with pytest.raises(UnknownNameError, match=f"there are {TABLE}"):
        loading.control.cancel(Wish(table="x"))


def test_a_reader_that_waits_does_nothing_later(
    make: Callable[..., Loading], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked has been told that nothing was done: so it stays."""
    monkeypatch.setattr(requests_module, "PATIENCE_SECONDS", 0.1)
    loading = make(load=None)  # its reader hasn't been started
    loading.delivery.progress.received = Position(100)
    loading.delivery.monitor.nudge_soon = lambda: setattr(  # type: ignore[method-assign]  # at once
        loading.delivery.progress, "received", Position(150)
    )
    with pytest.raises(BusyError, match="did nothing"):
        loading.control.start(REPAIR)
    loading.start()
    assert wait_until(lambda: not loading.backfill.has_work, 5)
    assert loading.control.show() == {"paused": False, "loads": [], "ended": []}
