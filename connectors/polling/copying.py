"""Rows of a statement by COPY, some at a time: a thread receives them, and never gets far ahead.

The driver receives all that COPY sends in one call. The thread that reads the source has more to do
meanwhile than to wait for a server that searches a large table.
"""

from __future__ import annotations

import threading
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE_ROWS: Final = 2000
"""Some milliseconds of work, so that everything else is seen to in between."""
PIECE_BYTES: Final = 4_000_000
"""The same where rows are large."""
PIECES_AHEAD: Final = 2
"""So that neither side waits for the other; with the one that is filled this bounds memory."""
WAIT_SECONDS: Final = 0.2
"""How long nothing else is seen to."""


class AbandonedError(Exception):
    """Nobody wants the rest."""


class Copy:
    """One statement. The driver writes lines to it, in a thread of its own."""

    def __init__(self, run: Callable[[Copy], None]) -> None:
        """`run` has the driver write all lines to what it is given."""
        self._run = run
        self._pieces: Queue[list[bytes] | BaseException | None] = Queue(PIECES_AHEAD)
        self._lines: list[bytes] = []
        self._size = 0
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="polling", daemon=True)

    def pieces(self) -> Iterator[list[bytes]]:
        """The lines; an empty piece where none has come for a moment. Raises what the driver does.

        Whoever stops amid it leaves a connection that is of no use any more.
        """
        self._thread.start()
        try:
            while (piece := self._next()) is not None:
                yield piece
        finally:
            self._abandoned.set()

    def ends_within(self, seconds: float) -> bool:
        """Whether nothing is received any more, within that time; nobody wants the rest."""
        self._abandoned.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def write(self, line: bytes) -> None:
        """One line has come: the driver calls it."""
        self._lines.append(line)
        self._size += len(line)
        if len(self._lines) >= PIECE_ROWS or self._size >= PIECE_BYTES:
            self._hand_over()

    def _next(self) -> list[bytes] | None:
        try:
            piece = self._pieces.get(timeout=WAIT_SECONDS)
        except Empty:
            return []
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def _receive(self) -> None:
        try:
            self._run(self)
            self._hand_over()
            self._put(None)
        except AbandonedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are taken
            self._put(error)

    def _hand_over(self) -> None:
        lines, self._lines, self._size = self._lines, [], 0
        self._put(lines)

    def _put(self, piece: list[bytes] | BaseException | None) -> None:
        while not self._abandoned.is_set():
            try:
                self._pieces.put(piece, timeout=WAIT_SECONDS)
            except Full:
                continue
            return
        if not isinstance(piece, BaseException):
            raise AbandonedError
