"""What other threads ask of the reader: it carries it out between two transactions."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cdc_daemon.errors import CdcError

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS: Final = 5.0
"""The reader comes round every second, unless it waits for the source or the sink."""

Answer = TypeVar("Answer")


class BusyError(CdcError):
    """The reader didn't come round in time; nothing was done."""


class Requests:
    """A queue of work for the reader."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, work: Callable[[], Answer]) -> Answer:
        """Have the reader do `work`, and return what it gives or raise what it raises.

        Any thread but the reader calls it.
        """
        future: Future[Answer] = Future()
        self._waiting.append((future, work))
        self._wake()
        try:
            return future.result(PATIENCE_SECONDS)
        except TimeoutError:
            if not future.cancel():
                return future.result()  # it has begun just now, and doesn't wait for anything
            raise BusyError(
                "the daemon waits for the source or the sink, and did nothing. What it waits for "
                "is in its log and under `state` of `cdc-daemon status`: ask again afterwards"
            ) from None

    def carry_out(self) -> None:
        """Do what was asked. The reader calls it."""
        while self._waiting:
            future, work = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except CdcError as error:
                future.set_exception(error)
