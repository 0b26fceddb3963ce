"""Wide changes: worked off in pieces behind the stream, and durable with their last document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from cdc_daemon.assembly.climbing import BOUNDS
from cdc_daemon.delivery.dispatcher import REQUESTS_AHEAD, Dispatcher
from cdc_daemon.delivery.yielding import SMALLEST_BYTES
from cdc_daemon.errors import RetryError
from cdc_daemon.joining import widechanges
from cdc_daemon.joining.sending import SLICE_BYTES
from tests.generators.conditions import wait_until
from tests.generators.joining_reader import INDEX, reading

if TYPE_CHECKING:
    from pathlib import Path

    from tests.generators.joining_reader import Reader

ROOM_BYTES = REQUESTS_AHEAD * SMALLEST_BYTES
"""For what yields, when changes have come just now."""


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


def large_wide_change(reader: Reader, count: int) -> None:
    """So many documents show a row, which becomes large at 120: none of them is written yet."""
    for number in range(count):
        reader.insert("hotel", id=b"%d" % number, name=b'"%d"' % number, chain_id=b"1")
    reader.commit(110)
    reader.joiner.flush()
    reader.deliver()
    reader.sink.gate.clear()
    reader.insert("chain", id=b"1", name=b'"%b"' % (b"n" * 60_000))
    reader.commit(120)
    reader.joiner.flush()


def test_a_wide_change_of_large_documents_holds_nobody_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also within a piece: the rest of it waits, and the stream goes on."""
    queue = 4_000_000
    with reading(tmp_path, queue=queue) as reader:
        dispatcher = reader.delivery.dispatcher
        large_wide_change(reader, 2 * BOUNDS.change)

        def wait_for_room() -> None:
            raise AssertionError("the reader waits, and reads nothing meanwhile")

        monkeypatch.setattr(dispatcher, "wait_for_room", wait_for_room)
        assert wait_until(lambda: not reader.joiner.step())
        assert ROOM_BYTES < dispatcher.size_bytes < ROOM_BYTES + 2 * SLICE_BYTES < queue
        sent = dispatcher.sent
        assert not reader.joiner.step()
        assert dispatcher.sent == sent, "there is still no room"
        reader.insert("hotel", id=b"777")
        reader.commit(130)
        reader.joiner.flush()
        assert dispatcher.sent == sent + 1
        assert (reader.progress.received, reader.progress.durable()) == (130, 110)
        reader.sink.gate.set()
        most = 0

        def is_durable() -> bool:
            nonlocal most
            reader.joiner.step()
            most = max(most, dispatcher.size_bytes)
            return reader.progress.durable() == 130

        assert wait_until(is_durable)
        assert most < ROOM_BYTES + 2 * SLICE_BYTES
        documents = reader.sink.index(INDEX).documents
        assert {version for version, _ in documents.values()} <= {120, 130}


def test_a_moment_of_a_wide_change_is_short_however_large_its_documents_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is room for all of them the stream is looked at between the slices of a piece."""
    with reading(tmp_path, queue=64_000_000, batch=16_000_000) as reader:
        large_wide_change(reader, 2 * BOUNDS.change)
        monkeypatch.setattr(widechanges, "SLICE_SECONDS", 0.0)
        monkeypatch.setattr(Dispatcher, "has_room_aside", True)
        steps = 0
        while True:
            before = reader.delivery.dispatcher.sent
            more = reader.joiner.step()
            assert (reader.delivery.dispatcher.sent - before) * 60_000 < 2 * SLICE_BYTES
            if not more:
                break
            steps += 1
        assert steps >= 2 * BOUNDS.change * 60_000 // (2 * SLICE_BYTES)


def test_what_changes_while_the_rest_of_a_piece_waits_comes_as_it_is_then(tmp_path: Path) -> None:
    """Whatever is written of it first: rows that show another one, that are gone, that have moved,
    and that the wide change touches once more.
    """  # noqa: D205 - one sentence
    with reading(tmp_path) as reader:
        large_wide_change(reader, 2 * BOUNDS.change)
        assert wait_until(lambda: not reader.joiner.step())
        pending = reader.joiner.projections.pending()
        assert len(pending) == BOUNDS.piece
        other, gone, moved = (b"%d" % (BOUNDS.piece - number) for number in (1, 2, 3))
        reader.insert("chain", id=b"2", name=b'"Ritz"')
        reader.update("hotel", id=other, chain_id=b"2")
        reader.delete("hotel", id=gone)
        reader.move("hotel", moved, id=b"777", chain_id=b"1")
        reader.commit(130)
        reader.joiner.flush()
        reader.update("chain", id=b"1", name=b'"Regal"')
        reader.commit(140)
        reader.joiner.flush()
        reader.sink.gate.set()

        def is_durable() -> bool:
            reader.joiner.step()
            return reader.progress.durable() == 140

        assert wait_until(is_durable)
        chains = {
            address.strip(b'"'): orjson.loads(body)["chain"]["name"]
            for address, (_, body) in reader.sink.index(INDEX).documents.items()
            if body is not None
        }
        expected = {b"%d" % number: "Regal" for number in range(2 * BOUNDS.change)}
        del expected[gone], expected[moved]
        assert chains == {**expected, other: "Ritz", b"777": "Regal"}


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
