"""The reader's end of joined read models, over a real state and a sink in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.assembly import wanted
from cdc_daemon.assembly.climbing import BOUNDS
from cdc_daemon.covering import Covered
from cdc_daemon.errors import RetryError, SchemaChangedError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Commit,
    Coverage,
    Position,
    Unreadable,
)
from cdc_daemon.joining import sending
from cdc_daemon.joining.sending import SLICE_DOCUMENTS
from cdc_daemon.state.applying import BEAT_ROWS
from tests.generators.conditions import wait_until
from tests.generators.joining_reader import BEGIN, INDEX, PLANS, Reader, reading
from tests.generators.scripted_source import Below
from tests.generators.states import found_store

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.assembly import Pending


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
