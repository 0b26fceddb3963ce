"""Wide changes: worked off in pieces behind the stream, and durable with their last document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.assembly.climbing import BOUNDS
from cdc_daemon.delivery.dispatcher import REQUESTS_AHEAD
from cdc_daemon.delivery.yielding import SMALLEST_BYTES
from cdc_daemon.errors import RetryError
from cdc_daemon.joining.sending import SLICE_BYTES
from tests.generators.conditions import wait_until
from tests.generators.joining_reader import reading

if TYPE_CHECKING:
    from pathlib import Path

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
