"""Delivery with real threads, over a sink that fails: all of it arrives, in order, and once."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.delivery.letters import letter_of_rejection
from cdc_daemon.errors import RejectedError, RetryError, ShareChangedError, SinkError
from cdc_daemon.events import DocumentOperation, Position
from cdc_daemon.ports import Rejection
from cdc_daemon.projection.rejection import rejection
from tests.generators.by_hand import projection, table
from tests.generators.conditions import wait_until
from tests.generators.memory_sink import POISON, MemorySink, MemoryWriter, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.delivery.delivery import Delivery
    from tests.unit.delivery.conftest import Running

HOTELS, ROOMS = "index of hotels", "index of rooms"
TROUBLE = Trouble(seed=7, lost=0.1, lost_answer=0.1, overloaded=0.01, refresh=0.1, store=0.1)


class Workload:
    """Random commits over two indices, and what the sink must hold in the end."""

    def __init__(self, running: Running) -> None:
        self.delivery = running.delivery
        self.chance = random.Random(7)
        self.position = Position(1)
        self.expected: dict[tuple[str, bytes], tuple[int, bytes | None]] = {}
        self.poisoned: set[tuple[str, int]] = set()
        self.largest_queue = 0

    def commit(self) -> None:
        """Send a transaction, as the reader does."""
        delivery, before = self.delivery, self.position
        self.position = Position(before + self.chance.randint(1, 50))
        for index in (HOTELS, ROOMS):
            contents = dict(self.contents())
            for key, body in contents.items():
                if body == POISON:
                    self.poisoned.add((key.decode().strip('"'), self.position))
                    # It may take the place of an earlier operation in a batch, and is not written.
                    self.expected.pop((index, key), None)
                else:
                    self.expected[index, key] = (self.position, body)
            delivery.dispatcher.send(index, self.position, contents.items(), after=before)
            self.largest_queue = max(self.largest_queue, delivery.dispatcher.size_bytes)
        delivery.progress.received = self.position
        delivery.checkpointer.offer(delivery.progress.durable(), delivery.dispatcher.sent)

    def contents(self) -> Iterator[tuple[bytes, bytes | None]]:
        """What a transaction makes of the documents of one index."""
        for _ in range(self.chance.choice((0, 1, 1, 2, 9))):
            body = self.chance.choice((None, POISON, b'{"v":%d}' % self.position, b"{}"))
            yield b'"%d"' % self.chance.randrange(300), body


@pytest.mark.usefixtures("no_backoff")
def test_everything_arrives_in_version_order_through_any_trouble(
    deliver: Callable[..., Running],
) -> None:
    """Through lost requests, lost answers and overload the last content of each document arrives,
    none goes back, no position is ahead of what is there, and the queue keeps its bound.
    """  # noqa: D205 - one sentence
    sink = MemorySink(TROUBLE)
    running = deliver(sink, queue=300_000, batch=3_000)
    delivery, workload = running.delivery, Workload(running)
    over = _watch(running)
    for _ in range(4_000):
        workload.commit()
    assert delivery.drain(time.monotonic() + 30, lambda: None)
    over.set()
    position = workload.position
    assert delivery.progress.searchable() == delivery.progress.durable() == position
    assert sink.checkpoints.stored["pipe"].position == position
    for (index, key), content in workload.expected.items():
        assert sink.index(index).searchable[key] == content
    arrived = [
        versions for name in (HOTELS, ROOMS) for versions in sink.index(name).arrived.values()
    ]
    assert all(versions == sorted(versions) for versions in arrived), "a document went back"
    letters = {(letter.id, letter.position) for letter in sink.dead_letters.letters.values()}
    assert letters, "a poison that was not replaced in its batch is a dead letter"
    assert letters <= workload.poisoned
    assert workload.largest_queue < 300_000 + 3 * 3_000 + 100_000
    assert delivery.dispatcher.size_bytes == 0


def _watch(running: Running) -> threading.Event:
    """Look from another thread, all the time, whether positions only grow; set it to end."""
    over = threading.Event()
    progress = running.delivery.progress

    def look() -> None:
        last = (Position(0), Position(0))
        while not over.is_set():
            searchable, durable = progress.searchable(), progress.durable()
            if searchable > durable or durable < last[0] or searchable < last[1]:
                running.delivery.fail(AssertionError("positions went back"))
            last = (durable, searchable)

    threading.Thread(target=look, daemon=True).start()
    return over


@pytest.mark.usefixtures("no_backoff")
def test_nothing_is_durable_while_the_sink_does_not_answer(deliver: Callable[..., Running]) -> None:
    """The position stays where the commit before ended, and goes on by itself afterwards."""
    sink = MemorySink()
    running = deliver(sink)
    delivery = running.delivery
    sink.gate.clear()
    for position in (10, 20):
        before = delivery.progress.received
        delivery.dispatcher.send(HOTELS, Position(position), [(b"a", b"{}")], after=before)
        delivery.progress.received = Position(position)
        delivery.dispatcher.release()
        time.sleep(0.05)
    assert (delivery.progress.durable(), delivery.progress.searchable()) == (1, 1)
    sink.gate.set()
    assert wait_until(lambda: delivery.progress.searchable() == 20)


def test_a_full_queue_waits_and_hears_of_failures(deliver: Callable[..., Running]) -> None:
    """While the queue is full `wait_for_room` is called; what a sender died of is raised there."""
    sink = MemorySink()
    running = deliver(sink, queue=20_000, batch=1_000)
    sink.gate.clear()
    delivery = running.delivery

    def fail(_: MemoryWriter, __: object) -> None:
        raise SinkError("the index is gone")

    contents = [(b"%d" % number, b"{%s}" % (b"x" * 1_000)) for number in range(2_000)]
    delivery.dispatcher.send(HOTELS, Position(10), contents[:60], after=Position(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryWriter, "write", fail)
        sink.gate.set()
        with pytest.raises(SinkError, match="gone"):
            delivery.dispatcher.send(HOTELS, Position(10), contents * 20, after=Position(1))


@pytest.mark.usefixtures("no_backoff")
def test_rows_that_are_no_documents_are_dead_letters_before_the_commit_is_durable(
    deliver: Callable[..., Running],
) -> None:
    """A rejected content is stored with its row and reason, counted, and not written."""
    running = deliver(MemorySink(Trouble(seed=1, store=0.5)))
    relation = table("id", "name")
    content = rejection(RejectedError("too_odd", "it is odd"), relation, [b"1", b'"x"'])
    running.delivery.dispatcher.send(
        HOTELS, Position(10), [(b'"1"', content), (b'"2"', b"{}")], after=Position(1)
    )
    (letter,) = running.sink.dead_letters.letters.values()
    assert (letter.id, letter.position, letter.reason) == ("1", 10, "too_odd")
    assert letter.row == {"id": b"1", "name": b'"x"'}
    assert letter.table == "public.hotel"
    labels = {"projection": "hotels", "reason": "too_odd"}
    assert running.value("cdc_dead_letters_total", **labels) == 1
    assert running.value("cdc_dead_letters_stored") == 1


@pytest.mark.parametrize("value", [b'"\\ud800"', b"1e400", b"[" * 2000 + b"]" * 2000])
def test_a_refused_document_that_only_postgres_reads_is_a_dead_letter_too(value: bytes) -> None:
    """JSON that our reader refuses must not end a sender: the document says it all."""
    body = b'{"id":1,"name":%b}' % value
    operation = DocumentOperation(HOTELS, b'"1"', 5, body)
    letter = letter_of_rejection("pipe", projection(), Rejection(operation, "odd", "no"))
    assert (letter.id, letter.document) == ("1", body)


def test_a_refused_document_shows_its_row() -> None:
    """As far as the document shows it."""
    operation = DocumentOperation(HOTELS, b'"1"', 5, b'{"id":1,"name":"x"}')
    letter = letter_of_rejection("pipe", projection(), Rejection(operation, "odd", "no"))
    assert letter.row == {"id": b"1", "name": b'"x"'}


@pytest.mark.usefixtures("no_backoff")
def test_documents_are_counted_by_what_became_of_them(deliver: Callable[..., Running]) -> None:
    """Written, stale, dead letter and delete are counted once each, retries not."""
    sink = MemorySink(Trouble(seed=3, overloaded=0.5))
    sink.index(HOTELS).documents[b'"old"'] = (99, b"{}")
    running = deliver(sink)
    running.delivery.dispatcher.send(
        HOTELS,
        Position(10),
        [(b'"old"', b"{}"), (b'"a"', b"{}"), (b'"b"', POISON), (b'"c"', None), (b'"d"', b"{}")],
        after=Position(1),
    )
    running.delivery.progress.received = Position(10)
    assert running.delivery.drain(time.monotonic() + 10, lambda: None)

    def count(operation: str, result: str) -> float:
        labels = {"projection": "hotels", "operation": operation, "result": result}
        return running.value("cdc_documents_written_total", **labels)

    assert count("index", "stale") == 1
    assert count("index", "written") == 2
    assert count("index", "dead_letter") == 1
    assert count("delete", "written") == 1


def test_a_drain_tells_the_source_the_last_checkpoint(deliver: Callable[..., Running]) -> None:
    """What is told last, before a stop, is all that is stored: nothing is read again."""
    running = deliver(MemorySink())
    delivery = running.delivery
    delivery.dispatcher.send(HOTELS, Position(10), [(b'"a"', b"{}")], after=Position(1))
    delivery.progress.received = Position(10)
    told: list[int] = []

    def tell() -> None:
        told.append(min(delivery.progress.durable(), delivery.checkpointer.stored))
        # The checkpoint becomes stored just after the source was told of the one before.
        assert wait_until(all_is_stored)

    def all_is_stored() -> bool:
        delivery.checkpointer.offer(delivery.progress.durable(), 1, urgent=True)
        return delivery.progress.searchable() == delivery.checkpointer.stored == 10

    assert delivery.drain(time.monotonic() + 10, tell)
    assert told[-1] == 10


def test_a_drain_ends_at_its_deadline(deliver: Callable[..., Running]) -> None:
    """A sink that is away doesn't keep the daemon from stopping."""
    sink = MemorySink()
    running = deliver(sink)
    sink.gate.clear()
    running.delivery.dispatcher.send(HOTELS, Position(10), [(b'"a"', b"{}")], after=Position(1))
    running.delivery.progress.received = Position(10)
    started = time.monotonic()
    assert not running.delivery.drain(started + 0.3, lambda: None)
    assert time.monotonic() - started < 2
    sink.gate.set()


def test_what_is_stored_after_a_drain_is_waited_for(deliver: Callable[..., Running]) -> None:
    """Another start in this process would find its own checkpoint replaced; a stop doesn't wait."""
    sink = MemorySink()
    running = deliver(sink)
    sink.checkpoints.gate.clear()
    running.delivery.progress.received = Position(10)
    assert not running.delivery.drain(time.monotonic() + 0.3, lambda: None)
    assert wait_until(lambda: sink.checkpoints.begun == 1)
    running.delivery.close()
    stopping = threading.Event()
    waiting = threading.Thread(target=running.delivery.let_end, args=[stopping])
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    assert not sink.checkpoints.stored
    stopping.set()
    waiting.join(5)
    assert not waiting.is_alive()
    sink.checkpoints.gate.set()
    running.delivery.let_end(threading.Event())
    assert sink.checkpoints.stored["pipe"].position == 10


@pytest.mark.usefixtures("no_backoff")
def test_senders_end_though_the_sink_is_away(deliver: Callable[..., Running]) -> None:
    """A closed delivery doesn't go on trying for ever (the fixture checks that its threads end)."""
    sink = MemorySink()
    running = deliver(sink)
    sink.away = True
    running.delivery.dispatcher.send(HOTELS, Position(10), [(b'"a"', b"{}")], after=Position(1))
    running.delivery.progress.received = Position(10)
    running.delivery.dispatcher.release()
    time.sleep(0.05)
    running.delivery.close()
    assert wait_until(lambda: sink.closed_writers == 6)
    assert running.delivery.progress.durable() == 1


def test_work_aside_ends_as_soon_as_it_is_done(deliver: Callable[..., Running]) -> None:
    """A dead letter that takes 0.1 s doesn't hold the reader for half a second more."""
    delivery = deliver(MemorySink()).delivery
    started = time.monotonic()
    delivery.aside(lambda: time.sleep(0.1))
    assert time.monotonic() - started < 0.4
    with pytest.raises(RetryError):
        delivery.aside(_lose)


def _lose() -> None:
    raise RetryError("lost")


def test_a_truncated_index_is_refreshed_at_once(deliver: Callable[..., Running]) -> None:
    """Deleting what was there is searchable without waiting for a next write."""
    running = deliver(MemorySink())
    time.sleep(0.1)  # the refresher is asleep
    running.delivery.delete_before(HOTELS, Position(9))
    running.delivery.touched(HOTELS)
    running.delivery.progress.received = Position(10)
    assert running.delivery.progress.searchable() == 1
    assert wait_until(lambda: running.delivery.progress.searchable() == 10, 0.5)


def test_what_is_found_at_once_is_never_refreshed(deliver: Callable[..., Running]) -> None:
    """What is durable there is searchable, in the end as well."""
    sink = MemorySink()
    sink.immediate.update((HOTELS, ROOMS))
    running = deliver(sink, freshness=3600.0)
    running.delivery.dispatcher.send(HOTELS, Position(2), [(b'"1"', b"{}")], after=Position(1))
    running.delivery.progress.received = Position(2)
    running.delivery.dispatcher.release()
    wait_until(lambda: running.delivery.progress.searchable() == 2)
    running.delivery.touched(HOTELS)
    assert running.delivery.progress.searchable() == 2
    assert "refresh" not in {what for what, _ in sink.said}


def test_nothing_is_written_that_may_be_anothers(deliver: Callable[..., Running]) -> None:
    """It is asked before each request, also before one that is repeated."""
    sink = MemorySink()
    running = deliver(sink)
    delivery = running.delivery

    def refuse() -> None:
        raise ShareChangedError("it is another's")

    sink.away = True
    delivery.dispatcher.send(HOTELS, Position(2), [(b'"1"', b"{}")], after=Position(1))
    delivery.dispatcher.release()
    assert wait_until(
        lambda: running.value("cdc_bulk_retries_total", sink="", reason="unavailable") > 0
    )
    delivery.require_ours = refuse
    sink.away = False
    with pytest.raises(ShareChangedError):
        raise_within(delivery, 60)
    assert running.position() == 0


def raise_within(delivery: Delivery, seconds: float) -> None:
    """Raise what has ended one of its threads, once something has."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        delivery.wait(0.1)
