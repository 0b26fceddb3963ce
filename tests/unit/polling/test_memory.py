"""What polls have read, while several threads keep it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.events import Position
from connectors.polling.kept import Poll
from connectors.polling.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = Poll(Position(10), "system/1", Position(10), 0.0, {})
ROWS = [(b"1", b"[1]"), (b"2", b"[2]")]
END_SECONDS = 30.0
BESIDE_SECONDS = 0.5
"""Time for a thread to do harm: one that waits as it should uses it up."""


class Rows(list[tuple[bytes, bytes]]):
    """They come when the test says so."""

    def __init__(self) -> None:
        super().__init__(ROWS)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """The file's transaction is open meanwhile."""
        self.begun.set()
        assert self.go_on.wait(END_SECONDS)
        return super().__iter__()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """Of one poll."""
    made = Memory(tmp_path / "pipe.sqlite")
    made.begin_anew(FIRST)
    yield made
    made.close()


@pytest.mark.parametrize("ends", ["undo", "close"])
def test_a_stream_that_ends_between_two_polls_leaves_alone_what_others_note(
    memory: Memory, ends: str
) -> None:
    """The source is lost while rows are loaded: the transaction that is open is the load's."""
    rows = Rows()
    with ThreadPoolExecutor() as threads:
        noting = threads.submit(memory.note, "public.hotel", rows)
        assert rows.begun.wait(END_SECONDS)
        ending = threads.submit(getattr(memory, ends))
        wait([ending], BESIDE_SECONDS)
        rows.go_on.set()
        assert noting.result(END_SECONDS) == len(ROWS)
        ending.result(END_SECONDS)
    assert memory.note("public.hotel", ROWS) == 0, "they are known"


def test_a_poll_that_came_to_nothing_leaves_nothing(memory: Memory) -> None:
    """And lets go who waited for its end."""
    memory.begin()
    memory.put(memory.table("public.hotel"), [(b"1", b"digest", b"[1]")])
    with ThreadPoolExecutor() as threads:
        noting = threads.submit(memory.note, "public.hotel", ROWS)
        wait([noting], BESIDE_SECONDS)
        assert not noting.done()
        memory.undo()
        assert noting.result(END_SECONDS) == len(ROWS)
