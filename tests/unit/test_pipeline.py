"""The reader, over a scripted source and a sink in memory."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import stamina

from cdc_daemon.covering import Covered
from cdc_daemon.errors import RetryError, SchemaChangedError, SourceError, StartAgainError
from cdc_daemon.events import (
    Change,
    ChangeKind,
    Checkpoint,
    Commit,
    Coverage,
    Position,
    StreamAbort,
    StreamStart,
    StreamStop,
    Watermark,
)
from tests.generators.conditions import wait_until
from tests.generators.pipeline_reader import (
    HOTELS,
    INDEX,
    Reader,
    commit,
    delete,
    insert,
    truncate,
)
from tests.generators.scripted_source import Below

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Event


def test_a_transaction_is_sent_at_its_commit_and_each_document_once(
    make_reader: Callable[..., Reader],
) -> None:
    """Nothing of it before; the last content at the commit's version; confirmed when stored."""
    reader = make_reader()
    reader.source.script = [[insert(1, "a"), insert(2)], [insert(1, "b")]]
    reader.start()
    time.sleep(0.2)
    assert reader.sink.index(INDEX).arrived == {}
    reader.source.script.append([delete(2), commit(110)])
    assert wait_until(lambda: len(reader.searchable()) == 2)
    assert reader.searchable() == {b'"1"': (110, b'{"name":"b"}'), b'"2"': (110, None)}
    assert wait_until(lambda: reader.last_confirmed() == (110, 110, 110))
    for received, durable, searchable in reader.source.confirmed:
        assert searchable <= received
        assert durable in {100, 110}


def test_nothing_is_confirmed_before_the_checkpoint_is_stored(
    make_reader: Callable[..., Reader],
) -> None:
    """Durable documents alone are not enough: the place in the source would be lost."""
    reader = make_reader()

    def refuse(_: Checkpoint) -> None:
        raise RetryError("not now")

    reader.sink.checkpoints.store = refuse  # type: ignore[method-assign,assignment]  # fails
    reader.source.script = [[insert(1), commit(110)]]
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.durable() == 110)
    time.sleep(0.3)
    assert {durable for _, durable, _ in reader.source.confirmed} == {100}
    del reader.sink.checkpoints.store
    assert wait_until(lambda: reader.last_confirmed()[1] == 110)


def test_a_transaction_that_was_cut_off_comes_again_whole(
    make_reader: Callable[..., Reader],
) -> None:
    """What was folded of it is forgotten; the stream goes on after the last commit."""
    reader = make_reader(transaction_bytes=1)
    lost = RetryError("connection lost")
    reader.source.script = [
        [insert(1), commit(110), insert(7), insert(8)],
        lost,
        [insert(8, "again"), commit(120)],
    ]
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 120)
    assert reader.source.started == [100, 110]
    assert b'"7"' not in reader.searchable()
    assert reader.states[:4] == ["streaming", "waiting", "streaming"]


def test_a_truncate_deletes_what_was_before_and_keeps_what_comes_after(
    make_reader: Callable[..., Reader],
) -> None:
    """Also rows of the same transaction, before and after it."""
    reader = make_reader()
    reader.source.script = [
        [insert(1), insert(2), commit(110)],
        [insert(3), truncate(), insert(2, "new"), commit(120), insert(4), commit(130)],
    ]
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 130)
    there = {key: known[1] for key, known in reader.searchable().items() if known[1]}
    assert there == {b'"2"': b'{"name":"new"}', b'"4"': b'{"name":"x"}'}


def test_an_idle_source_moves_on(make_reader: Callable[..., Reader]) -> None:
    """A watermark is confirmed without a document, at once when it is urgent."""
    reader = make_reader()
    reader.source.script = [[Watermark(Position(150))], [Watermark(Position(160), urgent=True)]]
    reader.start()
    assert wait_until(lambda: reader.last_confirmed() == (160, 160, 160), 2)


def test_the_source_hears_from_us_while_the_queue_is_full(
    make_reader: Callable[..., Reader],
) -> None:
    """A slow sink must not cut the connection: we report, and read nothing more."""
    reader = make_reader(queue=30_000)
    reader.sink.gate.clear()
    reader.source.script = [
        [insert(number, "x" * 1_000), commit(110 + number)] for number in range(200)
    ]
    reader.start()
    assert wait_until(lambda: reader.delivery.dispatcher.size_bytes >= 30_000)
    time.sleep(0.2)
    left = len(reader.source.script)
    before = len(reader.source.confirmed)
    assert left > 0
    assert wait_until(lambda: len(reader.source.confirmed) > before + 1, 3)
    assert len(reader.source.script) == left
    assert reader.delivery.dispatcher.size_bytes < 60_000
    reader.sink.gate.set()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 309)


def test_a_large_transaction_is_folded_on_disk(make_reader: Callable[..., Reader]) -> None:
    """Memory stays bounded; the outcome is the same."""
    reader = make_reader(transaction_bytes=20_000)
    reader.source.script = [
        [insert(number % 500, f"{number}") for number in range(start, start + 200)]
        for start in range(0, 4_000, 200)
    ]
    reader.source.script.append([commit(110)])
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 110)
    assert len(reader.searchable()) == 500
    assert reader.searchable()[b'"499"'] == (110, b'{"name":"3999"}')
    spilled = reader.delivery.metrics.registry.get_sample_value(
        "cdc_transaction_spilled_bytes_total", {"pipeline": "pipe"}
    )
    assert spilled is not None
    assert spilled > 20_000


def test_a_transaction_that_comes_in_parts_is_sent_at_its_commit(
    make_reader: Callable[..., Reader],
) -> None:
    """At its version, without what was rolled back; others and watermarks pass it meanwhile."""
    reader = make_reader()
    reader.source.script = [
        [StreamStart(7, 7), insert(1, "a"), insert(2)],
        [StreamStart(7, 8), insert(1, "b"), truncate(), StreamStop(), StreamAbort(7, 8)],
        [StreamStart(9, 9), insert(9), StreamStop(), StreamAbort(9, 9)],
        [insert(3), commit(110, 5), Watermark(Position(120))],
    ]
    reader.start()
    assert wait_until(lambda: reader.last_confirmed() == (120, 120, 120))
    assert reader.searchable() == {b'"3"': (110, b'{"name":"x"}')}
    reader.source.script += [
        [StreamStart(7, 7), insert(4), StreamStop(), commit(130, 7), Watermark(Position(140))]
    ]
    assert wait_until(lambda: reader.last_confirmed() == (140, 140, 140))
    assert reader.searchable() == {
        b'"1"': (130, b'{"name":"a"}'),
        b'"2"': (130, b'{"name":"x"}'),
        b'"3"': (110, b'{"name":"x"}'),
        b'"4"': (130, b'{"name":"x"}'),
    }


def test_parts_of_a_transaction_that_were_cut_off_come_again(
    make_reader: Callable[..., Reader],
) -> None:
    """What was folded of it is forgotten, on disk too, and nothing of it is confirmed."""
    reader = make_reader(transaction_bytes=1)
    part: list[Event] = [StreamStart(7, 7), insert(7, "cut off"), insert(8), StreamStop()]
    reader.source.script = [
        [*part, insert(1), commit(110)],
        RetryError("connection lost"),
        [StreamStart(7, 7), insert(8, "again"), StreamStop(), commit(120, 7)],
    ]
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 120)
    assert reader.source.started == [100, 110]
    assert reader.searchable().keys() == {b'"1"', b'"8"'}


def test_a_fold_in_too_many_pieces_is_gathered_while_the_source_hears_from_us(
    make_reader: Callable[..., Reader],
) -> None:
    """However often it was spilled."""
    reader = make_reader(transaction_bytes=1)
    reader.source.script = [[insert(number % 150, f"{number}")] for number in range(300)]
    reader.source.script.append([commit(110)])
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.searchable() == 110)
    assert len(reader.searchable()) == 150
    assert reader.searchable()[b'"149"'] == (110, b'{"name":"299"}')


def test_a_source_of_another_history_is_left_to_a_start(make_reader: Callable[..., Reader]) -> None:
    """After a failover while we were away the same number may be another commit."""
    reader = make_reader()
    reader.source.script = [[insert(1), commit(110)], RetryError("connection lost")]
    real = reader.source.start

    def fail_over(*given: object, **said: object) -> None:
        real(*given, **said)  # type: ignore[arg-type]  # as given
        reader.source.history = "system/2"

    reader.source.start = fail_over  # type: ignore[method-assign]  # and fails over
    reader.start()
    assert wait_until(lambda: bool(reader.failures))
    assert isinstance(reader.failures[0], StartAgainError)
    assert "system/2" in str(reader.failures[0])
    assert reader.source.started == [100]


def test_a_long_time_without_the_source_is_no_stuck_reader(
    make_reader: Callable[..., Reader],
) -> None:
    """When it streams again, it has been heard of just now: health checks must not kill it."""
    reader = make_reader()
    reader.delivery.heard_from_reader = time.monotonic() - 3_600
    ages: list[float] = []
    said = reader.pipeline._state

    def state(now: str) -> None:
        if now == "streaming":
            ages.append(time.monotonic() - reader.delivery.heard_from_reader)
        said(now)

    reader.pipeline._state = state
    reader.start()
    assert wait_until(lambda: bool(ages))
    assert ages[0] < 1


def test_what_ended_a_sender_ends_the_reader(make_reader: Callable[..., Reader]) -> None:
    """Going on without it would fill the queue in silence."""
    reader = make_reader()
    reader.start()
    reader.delivery.fail(SourceError("broken"))
    assert wait_until(lambda: bool(reader.failures))


def test_a_source_that_breaks_at_once_is_left_ever_more_time(
    make_reader: Callable[..., Reader],
) -> None:
    """A start that succeeds and a first read that fails is one more failed attempt."""
    stamina.set_testing(testing=False)
    reader = make_reader()
    reader.source.script = [RetryError("gone", reason="unavailable")] * 100
    reader.start()
    time.sleep(1.4)
    # Waits of 0.1, 0.2, 0.4 and 0.8 s, each with up to half a second of jitter on top.
    assert 2 <= len(reader.source.started) <= 4


def test_a_stop_writes_what_was_read_also_when_the_source_is_lost(
    make_reader: Callable[..., Reader],
) -> None:
    """The checkpoint says so to the next start; the source learns it then."""
    reader = make_reader()
    reader.source.script = [[insert(1), commit(110)]]
    reader.sink.gate.clear()
    reader.start()
    assert wait_until(lambda: reader.delivery.progress.received == 110, 5)
    reader.stop.set()
    reader.source.wake()
    assert reader.thread is not None
    reader.thread.join(5)

    def lost(**_: Position) -> None:
        raise RetryError("gone", reason="unavailable")

    reader.source.confirm = lost  # type: ignore[method-assign]  # it is gone
    reader.sink.gate.set()
    assert reader.delivery.drain(time.monotonic() + 5, reader.pipeline.report)
    assert reader.delivery.checkpointer.stored == 110


def misfit(number: int) -> Change:
    """A row of another shape changes: nothing more is known of it."""
    relation = replace(HOTELS.relation, columns=(), stands_for=HOTELS.relation, misfit="odd")
    assert number
    return Change(relation, ChangeKind.INSERT, [])


def covered_until(end: int) -> dict[str, Covered]:
    """A load of hotels that sees transactions below 50, and began at 120."""
    return {"public.hotels": Covered(Coverage("50", Position(120), Position(end)), Below(50))}


def test_what_a_load_covers_is_left_out(make_reader: Callable[..., Reader]) -> None:
    """Whatever its shape; the others are written at the floor of the load, or above it."""
    reader = make_reader()
    reader.pipeline._committing._covered = covered_until(130)
    reader.source.script = [
        [insert(1, "covered"), misfit(2), Commit(Position(110), time.time(), 49)],
        [truncate(), Commit(Position(111), time.time(), 48)],
        [insert(3, "unseen"), Commit(Position(112), time.time(), 51)],
        [insert(4, "covered"), Commit(Position(130), time.time(), 47)],
        [insert(5, "numbered anew"), Commit(Position(140), time.time(), 46)],
    ]
    reader.start()
    assert wait_until(lambda: b'"5"' in reader.searchable())
    assert reader.searchable() == {
        b'"3"': (120, b'{"name":"unseen"}'),
        b'"5"': (140, b'{"name":"numbered anew"}'),
    }
    assert wait_until(lambda: reader.last_confirmed() == (140, 140, 140))
    assert not reader.failures


def test_a_shape_that_nothing_covers_makes_the_reader_leave(
    make_reader: Callable[..., Reader],
) -> None:
    """At the commit, before anything of the transaction is sent: it comes again."""
    reader = make_reader()
    reader.source.script = [[insert(1), commit(110)], [insert(2), misfit(3), commit(120)]]
    reader.start()
    assert wait_until(lambda: bool(reader.failures))
    (change,) = reader.failures
    assert isinstance(change, SchemaChangedError)
    assert (change.table, change.why, change.in_catalog) == ("public.hotels", "odd", False)
    assert wait_until(lambda: b'"1"' in reader.searchable())
    assert reader.delivery.progress.received == 110
    assert b'"2"' not in reader.sink.index(INDEX).arrived


def test_a_shape_that_is_truncated_away_is_of_no_matter(make_reader: Callable[..., Reader]) -> None:
    """Nothing is left of it."""
    reader = make_reader()
    reader.source.script = [[misfit(1), truncate(), insert(2), commit(110)]]
    reader.start()
    assert wait_until(lambda: b'"2"' in reader.searchable())
    assert not reader.failures
