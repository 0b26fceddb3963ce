"""Documents that are on their way to the sink, until it is known to have them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.assembly import Written
    from cdc_daemon.delivery.dispatcher import Dispatcher


class InFlight:
    """In the order in which they were sent."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._sent: deque[tuple[tuple[int, ...], Written]] = deque()

    def __bool__(self) -> bool:
        return bool(self._sent)

    def sent(self, some: Iterable[Written]) -> None:
        """These were put into the lanes just now."""
        mark = self._dispatcher.mark()
        self._sent.extend((mark, one) for one in some)

    def take_passed(self) -> list[Written]:
        """Those that are durable by now, or dead letters: each is given once."""
        passed = []
        while self._sent and self._dispatcher.passed(self._sent[0][0]):
            passed.append(self._sent.popleft()[1])
        return passed
