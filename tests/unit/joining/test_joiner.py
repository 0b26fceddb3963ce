"""The reader's end of joined read models, over a real state and a sink in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.assembly import wanted
from cdc_daemon.assembly.climbing import BOUNDS
from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.covering import Covered
from cdc_daemon.delivery.delivery import Delivery
from cdc_daemon.delivery.dispatcher import REQUESTS_AHEAD
from cdc_daemon.delivery.yielding import SMALLEST_BYTES
from cdc_daemon.errors import RetryError, SchemaChangedError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Checkpoint,
    Commit,
    Coverage,
    Position,
    Unreadable,
)
from cdc_daemon.joining import Joiner, sending
from cdc_daemon.joining.sending import SLICE_BYTES, SLICE_DOCUMENTS
from cdc_daemon.metrics import Metrics
from cdc_daemon.state.applying import BEAT_ROWS
from tests.generators.by_hand import configuration
from tests.generators.conditions import wait_until
from tests.generators.joined_store import CHAIN, ROOMS, plans
from tests.generators.memory_sink import MemorySink
from tests.generators.scripted_source import Below, MemoryClock
from tests.generators.states import fit_empty, found_store, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.assembly import Pending
    from cdc_daemon.events import Relation, Value
    from cdc_daemon.state import Store

BEGIN = Position(100)
INDEX = "index of hotels"
PLANS = plans(hotels={"embed": {"chain": CHAIN, "rooms": ROOMS}})

ROOM_BYTES = REQUESTS_AHEAD * SMALLEST_BYTES
"""For what yields, when changes have come just now."""


class Reader:
    """What the reader does with a joiner, by hand."""

    def __init__(
        self, store: Store, folder: Path, covered: Mapping[str, Covered], **memory: int
    ) -> None:
        metrics = Metrics("pipe", 1)
        self.sink = MemorySink()
        self.delivery = Delivery(
            configuration=configuration(folder, **memory),
            sink=self.sink,
            projections={INDEX: PLANS[0]},
            monitor=Monitor(MemoryClock(), metrics),
            metrics=metrics,
            wake=lambda: None,
        )
        self.delivery.resume(Checkpoint("pipe", BEGIN, "source-1"), BEGIN)
        self.progress = self.delivery.progress
        self.beats = 0
        self.joiner = Joiner(
            store=store,
            plans=PLANS,
            indices={"hotels": INDEX},
            delivery=self.delivery,
            memory=configuration(folder, **memory).memory,
            folder=folder,
            covered=covered,
            meanwhile=self.beat,
        )
        self.joiner.begin()
        self.joiner.connected_again()
        self._tables = {relation.name: relation for relation in self.joiner.relations}

    def beat(self) -> None:
        """Much is done at once."""
        self.beats += 1

    def table(self, name: str) -> Relation:
        """One that is kept."""
        return self._tables[name]

    def insert(self, table: str, **values: Value) -> None:
        """A row comes; columns that aren't named are NULL."""
        self._take(table, ChangeKind.INSERT, values)

    def update(self, table: str, **values: Value) -> None:
        """A row changes."""
        self._take(table, ChangeKind.UPDATE, values)

    def move(self, table: str, old: Value, **values: Value) -> None:
        """A row takes another key."""
        self._take(table, ChangeKind.UPDATE, values, {"id": old})

    def _take(
        self,
        table: str,
        kind: ChangeKind,
        values: dict[str, Any],
        before: dict[str, Any] | None = None,
    ) -> None:
        columns = [column.name for column in self.table(table).columns]
        new = [values.get(name, b"null") for name in columns]
        old = None if before is None else [before.get(name, b"null") for name in columns]
        odd = any(not isinstance(value, bytes) for value in (*new, *(old or ())))
        self.joiner.take(Change(self.table(table), kind, new, old, has_unchanged=odd))

    def commit(self, position: int, xid: int = 1) -> None:
        """The transaction ends."""
        self.joiner.commit(Commit(Position(position), 0.0, xid))
        if self.joiner.holds:
            self.joiner.passed(Position(position))
        else:
            self.progress.received = Position(position)

    def deliver(self) -> dict[bytes, tuple[int, bytes | None]]:
        """Have the senders write what they were given; what the index holds then."""
        self.delivery.start()
        self.delivery.dispatcher.release()
        assert wait_until(lambda: not self.delivery.dispatcher.size_bytes)
        return self.sink.index(INDEX).documents


@contextmanager
def reading(
    folder: Path, covered: Mapping[str, Covered] | None = None, **memory: int
) -> Iterator[Reader]:
    """A reader over a new state."""
    with new_store(folder / "state") as store:
        fit_empty(store, wanted(PLANS))
        reader = Reader(store, folder, covered or {}, **memory)
        try:
            yield reader
        finally:
            reader.delivery.close()


def test_a_position_is_received_once_its_documents_are_in_the_lanes(tmp_path: Path) -> None:
    """Not before: what is durable would pass documents that nobody has sent."""
    with reading(tmp_path) as reader:
        reader.insert("hotel", id=b"1", name=b'"Grand"')
        reader.commit(110)
        assert reader.progress.received == BEGIN
        reader.joiner.flush()
        assert reader.progress.received == 110
        assert reader.progress.durable() == BEGIN
        documents = reader.deliver()
        assert documents[b'"1"'][0] == 110
        assert reader.progress.durable() == 110


def test_what_touches_no_joined_table_is_received_at_once(tmp_path: Path) -> None:
    """But not before what is queued ahead of it."""
    with reading(tmp_path) as reader:
        reader.commit(105)
        assert reader.progress.received == 105
        reader.insert("hotel", id=b"1")
        reader.commit(110)
        reader.commit(120)
        assert reader.progress.received == 105
        reader.joiner.flush()
        assert reader.progress.received == 120


def test_no_more_is_confirmed_than_is_on_disk(tmp_path: Path) -> None:
    """However durable the documents are."""
    with reading(tmp_path) as reader:
        reader.insert("hotel", id=b"1")
        reader.commit(110)
        reader.joiner.flush()
        reader.deliver()
        assert reader.progress.confirmable() == BEGIN
        reader.joiner.keep(urgent=True)
        assert reader.progress.confirmable() == 110
        assert reader.joiner.store.read(lambda batch: batch.position) == 110
        assert reader.joiner.store.figures.pending == 0


def test_a_wide_change_is_durable_with_its_last_document(tmp_path: Path) -> None:
    """Also where what was committed after it is received while it is worked off."""
    with reading(tmp_path) as reader:
        reader.insert("chain", id=b"1", name=b'"Royal"')
        for number in range(3 * BOUNDS.change):
            reader.insert("hotel", id=b"%d" % number, chain_id=b"1")
        reader.commit(110)
        reader.joiner.flush()
        reader.deliver()
        reader.sink.gate.clear()
        reader.update("chain", id=b"1", name=b'"Regal"')
        reader.commit(120)
        reader.joiner.flush()
        reader.commit(130)
        assert wait_until(lambda: not reader.joiner.step())
        assert (reader.progress.received, reader.progress.durable()) == (130, 110)
        reader.sink.gate.set()
        reader.delivery.dispatcher.release()
        assert wait_until(lambda: reader.progress.durable() == 130)


def test_a_wide_change_of_large_documents_goes_no_further_than_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also within a piece."""
    queue = 4_000_000
    with reading(tmp_path, queue=queue) as reader:
        dispatcher, name = reader.delivery.dispatcher, b'"%b"' % (b"n" * 60_000)
        for number in range(2 * BOUNDS.change):
            reader.insert("hotel", id=b"%d" % number, chain_id=b"1")
        reader.commit(110)
        reader.joiner.flush()
        reader.deliver()
        reader.sink.gate.clear()
        waited: list[int] = []

        def wait_for_room() -> None:
            waited.append(dispatcher.size_bytes)
            reader.sink.gate.set()
            reader.delivery.wait(0.1)

        monkeypatch.setattr(dispatcher, "wait_for_room", wait_for_room)
        reader.insert("chain", id=b"1", name=name)
        reader.commit(120)
        reader.joiner.flush()
        most = 0
        load = dispatcher.load

        def measured(*contents: Any, **after: Any) -> int:
            nonlocal most
            sent = load(*contents, **after)
            most = max(most, dispatcher.size_bytes)
            return sent

        monkeypatch.setattr(dispatcher, "load", measured)
        reader.joiner.step()
        reader.sink.gate.set()
        assert wait_until(lambda: not reader.joiner.step() and reader.progress.durable() == 120)
        assert most < ROOM_BYTES + 2 * SLICE_BYTES < queue
        assert max(waited) >= ROOM_BYTES


def test_a_wide_change_whose_last_piece_is_interrupted_is_durable_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although nothing of it is open any more when the source is there again."""
    with reading(tmp_path) as reader:
        reader.insert("chain", id=b"1", name=b'"Royal"')
        for number in range(2 * BOUNDS.change):
            reader.insert("hotel", id=b"%d" % number, chain_id=b"1")
        reader.commit(110)
        reader.joiner.flush()
        reader.update("chain", id=b"1", name=b'"Regal"')
        reader.commit(120)
        reader.joiner.flush()
        load = reader.delivery.dispatcher.load

        def lose(*contents: Any, **after: Any) -> int:
            if not reader.joiner.projections.wide_open():
                raise RetryError("the connection was lost")
            return load(*contents, **after)

        monkeypatch.setattr(reader.delivery.dispatcher, "load", lose)
        with pytest.raises(RetryError):
            wait_until(lambda: not reader.joiner.step())
        monkeypatch.undo()
        reader.joiner.connected_again()
        assert not reader.joiner.step()
        reader.deliver()
        assert reader.progress.durable() == 120


def test_the_state_goes_along_while_only_other_tables_change(tmp_path: Path) -> None:
    """Or the slot would pass it, and the next start would load everything anew."""
    with reading(tmp_path) as reader:
        reader.commit(150)
        reader.joiner.keep(urgent=True)
        assert reader.progress.confirmable() == 150
        assert reader.joiner.store.read(lambda batch: batch.position) == 150


def test_documents_that_were_not_acknowledged_are_sent_again(tmp_path: Path) -> None:
    """By the next start, as the state has them; those that the sink has are not."""
    with reading(tmp_path) as reader:
        reader.insert("hotel", id=b"1")
        reader.commit(110)
        reader.joiner.flush()
        reader.deliver()
        reader.joiner.keep(urgent=True)
        reader.insert("hotel", id=b"2")
        reader.commit(120)
        reader.joiner.flush()
    with found_store(tmp_path / "state") as store:
        store.fit(wanted(PLANS))
        again = Reader(store, tmp_path, {})
        assert again.progress.received == BEGIN
        documents = again.deliver()
        assert documents.keys() == {b'"2"'}
        again.delivery.close()


def test_a_source_that_is_lost_meanwhile_takes_no_document_along(tmp_path: Path) -> None:
    """They are sent when it is there again, and nothing is received before."""
    with reading(tmp_path, queue=1_000, batch=1_000) as reader:

        def lose() -> None:
            raise RetryError("the connection was lost")

        reader.delivery.dispatcher.wait_for_room = lose
        for number in range(2_000):
            reader.insert("hotel", id=b"%d" % number)
        reader.commit(110)
        with pytest.raises(RetryError):
            reader.joiner.flush()
        assert reader.progress.received == BEGIN
        reader.delivery.dispatcher.wait_for_room = reader.delivery.wait
        reader.delivery.start()
        reader.joiner.connected_again()
        assert wait_until(lambda: len(reader.sink.index(INDEX).documents) == 2_000)
        # It comes again, too, and is left out: the state has it.
        reader.insert("hotel", id=b"1")
        reader.commit(110)
        reader.joiner.flush()
        assert reader.progress.received == 110


def test_more_documents_than_are_remembered_are_sent(tmp_path: Path) -> None:
    """Those of a transaction of very many rows are read from the state, a page at a time."""
    with reading(tmp_path, queue=32_000_000) as reader:
        reader.delivery.start()
        for number in range(BOUNDS.held + 5_000):
            reader.insert("hotel", id=b"%d" % number)
        reader.commit(110)
        heard: list[bool] = []
        reader.joiner.projections.meanwhile = lambda: heard.append(True)
        reader.joiner.flush()
        assert len(heard) > BOUNDS.held / 1_000, "the source hears from us meanwhile"
        assert reader.joiner.projections.has_more
        assert reader.progress.received == 110
        reader.delivery.dispatcher.release()
        documents = reader.sink.index(INDEX).documents
        assert wait_until(lambda: len(documents) == BOUNDS.held + 5_000)
        assert {version for version, _ in documents.values()} == {110}


def test_the_reader_shows_that_it_lives_while_it_applies_very_much(tmp_path: Path) -> None:
    """Rows that come, that are as they were, that go: or it would be killed, again and again."""
    with reading(tmp_path) as reader:
        for position in (110, 120):
            for number in range(4 * BEAT_ROWS):
                reader.insert("chain", id=b"%d" % number, name=b'"Royal"')
            before = reader.beats
            reader.commit(position)
            reader.joiner.flush()
            assert reader.beats >= before + 4
        before = reader.beats
        reader.joiner.take(Change(reader.table("chain"), ChangeKind.TRUNCATE))
        reader.commit(130)
        reader.joiner.flush()
        assert reader.beats >= before + 4


def test_the_reader_shows_that_it_lives_while_it_sends_very_much(tmp_path: Path) -> None:
    """Also where the queues always have room."""
    with reading(tmp_path) as reader:
        for number in range(4 * SLICE_DOCUMENTS):
            reader.insert("hotel", id=b"%d" % number)
        reader.joiner.commit(Commit(Position(110), 0.0))
        reader.joiner.projections.apply(reader.joiner._queue)
        reader.joiner.forget()
        reader.joiner._sending.add_all_pending()
        before = reader.beats
        reader.joiner.flush()
        assert reader.beats >= before + 4


def test_what_is_written_again_has_no_document_of_a_row_that_went(tmp_path: Path) -> None:
    """Its delete may be all that an earlier attempt left, and nobody had sent it."""
    with reading(tmp_path) as reader:
        for number in (b"1", b"2"):
            reader.insert("hotel", id=number)
        reader.commit(110)
        reader.joiner.flush()
        reader.deliver()
        reader.joiner.keep(urgent=True)
        gone = Change(reader.table("hotel"), ChangeKind.DELETE, old=[b"1", b"null", b"null"])
        reader.joiner.take(gone)
        reader.joiner.commit(Commit(Position(120), 0.0))
        reader.joiner.projections.apply(reader.joiner._queue)
        reader.joiner.forget()
        written = reader.joiner.write_some("hotels", b"", 1_000_000)
        assert written.looked_at == 1
        reader.delivery.dispatcher.release()
        documents = reader.sink.index(INDEX).documents
        assert wait_until(lambda: documents[b'"1"'] == (120, None))


def test_what_is_pending_when_it_is_written_again_is_forgotten_by_nobody(tmp_path: Path) -> None:
    """A kill leaves it to the next start: what waits in lanes may be a delete, and no row tells."""
    with reading(tmp_path) as reader:
        for number in (b"1", b"2"):
            reader.insert("hotel", id=number)
        reader.commit(110)
        reader.joiner.flush()
        reader.deliver()
        reader.joiner.keep(urgent=True)
        reader.sink.gate.clear()
        reader.insert("room", id=b"7", hotel_id=b"2")
        gone = Change(reader.table("hotel"), ChangeKind.DELETE, old=[b"1", b"null", b"null"])
        reader.joiner.take(gone)
        reader.commit(120)
        reader.joiner.flush()
        reader.joiner.write_some("hotels", b"", 1_000_000)
        reader.joiner.keep(urgent=True)
        pending = reader.joiner.projections.pending_of("hotels")
        assert [one.address for one in pending] == [b'"1"', b'"2"']
        reader.sink.gate.set()
        reader.delivery.dispatcher.release()
        assert wait_until(lambda: not reader.delivery.dispatcher.size_bytes)
        reader.joiner.keep(urgent=True)
        assert reader.joiner.projections.pending_of("hotels") == []


def test_what_is_pending_when_it_is_written_again_is_read_in_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the sink was away: it may be every document."""
    monkeypatch.setattr(sending, "PAGE", 2)
    with reading(tmp_path) as reader:
        for number in range(5):
            reader.insert("hotel", id=b"%d" % number)
        reader.joiner.commit(Commit(Position(110), 0.0))
        reader.joiner.projections.apply(reader.joiner._queue)
        reader.joiner.forget()
        pages, pending_of = [], reader.joiner.projections.pending_of

        def noted(projection: str, after: bytes = b"", most: int | None = None) -> list[Pending]:
            page = pending_of(projection, after, most)
            pages.append(len(page))
            return page

        monkeypatch.setattr(reader.joiner.projections, "pending_of", noted)
        reader.joiner.write_some("hotels", b"", 1_000_000)
        assert pages == [2, 2, 1, 0]


def test_a_row_of_a_shape_unknown_leaves_the_reader(tmp_path: Path) -> None:
    """Unless the load of its table has the transaction: then only other tables count."""
    covered = {
        "public.room": Covered(Coverage("", Position(1), Position(200)), Below(50)),
    }
    with reading(tmp_path, covered) as reader:
        room = reader.table("room")
        other = type(room)("public", "room", (), stands_for=room, misfit="it has another column")
        reader.joiner.take_misfit(Change(other, ChangeKind.INSERT))
        reader.insert("hotel", id=b"1")
        reader.insert("room", id=b"7", hotel_id=b"1")
        reader.commit(110, xid=49)
        reader.joiner.flush()
        documents = reader.deliver()
        assert b'"rooms":[]' in (documents[b'"1"'][1] or b"")
        reader.joiner.take_misfit(Change(other, ChangeKind.INSERT))
        with pytest.raises(SchemaChangedError, match="it has another column"):
            reader.joiner.commit(Commit(Position(120), 0.0, 51))


def test_a_row_whose_key_nobody_can_read_is_a_dead_letter(tmp_path: Path) -> None:
    """Of every read model that would show it; the others of its transaction are kept."""
    with reading(tmp_path) as reader:
        reader.insert("room", id=Unreadable("not_utf8", "byte 0xff", b"\xff"), hotel_id=b"1")
        reader.insert("hotel", id=b"1")
        reader.commit(110)
        reader.joiner.flush()
        (letter,) = (one for _, one in reader.sink.dead_letters.list("pipe", limit=9))
        assert (letter.projection, letter.table, letter.reason) == (
            "hotels",
            "public.room",
            "not_utf8",
        )
        assert reader.deliver().keys() == {b'"1"'}


def test_a_row_whose_key_becomes_readable_is_there_from_then_on(tmp_path: Path) -> None:
    """Nothing was kept of it: where it comes without a value it is rejected once more."""
    bad = Unreadable("not_utf8", "no text", b"\xff")
    with reading(tmp_path) as reader:
        reader.move("hotel", bad, id=b"1", name=b'"Grand"')
        reader.move("hotel", bad, id=b"2", name=b'"Ritz"', chain_id=UNCHANGED)
        reader.commit(110)
        reader.joiner.flush()
        documents = reader.deliver()
        assert documents.keys() == {b'"1"'}
        assert len(reader.sink.dead_letters.letters) == 1


def test_rows_that_are_written_as_they_were_are_counted(tmp_path: Path) -> None:
    """Nothing is sent of them: neither where nothing changed, nor where nobody reads what did."""
    with reading(tmp_path) as reader:
        reader.insert("hotel", id=b"1", name=b'"Grand"')
        reader.insert("hotel", id=b"2")
        reader.commit(110)
        reader.joiner.flush()
        reader.update("hotel", id=b"1", name=b'"Other"')
        reader.update("hotel", id=b"2", chain_id=b"7")
        reader.commit(120)
        reader.joiner.flush()
        counted = reader.delivery.metrics.registry.get_sample_value(
            "cdc_state_rows_unchanged_total", {"pipeline": "pipe"}
        )
        assert counted == 1
        documents = reader.deliver()
        assert {key: version for key, (version, _) in documents.items()} == {
            b'"1"': 110,
            b'"2"': 120,
        }
