"""Threads that write what is posted beside the stream, each with connections of its own.

A document must not be written that the stream has deleted so long ago that the sink has forgotten
its version. So right before each request to the sink it is looked whether the stream has come to
the document's version: from then on the stream has what is posted, or is about to send it. What it
hasn't come to, it can't have deleted yet, and the sink remembers for longer than a request takes.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import CdcError
from cdc_daemon.events import NOWHERE, Position
from cdc_daemon.log import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.ports import SourceClock, Writer, WriteResult
    from cdc_daemon.posted.beside import Beside, Item
    from cdc_daemon.posted.outcome import Result

log = structlog.get_logger(__name__)

WRITERS: Final = 2
"""One request is under way while the next one is made; more would only compete with the stream."""
MOST_TOGETHER: Final = 1000
"""Documents in one request, of posts that wait at the same time."""
PAUSE_SECONDS: Final = 0.1
"""Before what the sink didn't take is sent again."""
BEYOND_THE_END: Final = (
    "its version lies beyond the end of the source's log, so the stream could never repair it: "
    "read it inside the transaction, in the database that the daemon follows"
)


class Writing(threading.Thread):
    """One of them."""

    def __init__(
        self,
        beside: Beside,
        writers: Mapping[str, Writer],
        clock: SourceClock,
        failed: Callable[[BaseException], None],
        number: int,
    ) -> None:
        """`writers` by index, one for each sink; `clock` says where the source's log ends."""
        super().__init__(name=f"beside-{number}", daemon=True)
        self._beside = beside
        self._writers = writers
        self._clock = clock
        self._failed = failed
        self._log_end = NOWHERE
        self._said = Seldom()
        self._in_hand: dict[int, Item] = {}
        """Of which nothing is known yet."""

    def run(self) -> None:
        """Write what is posted until nothing more is taken."""
        try:
            while items := self._beside.next_items(MOST_TOGETHER):
                self._in_hand = {id(item): item for item in items}
                for writer in set(self._writers.values()):
                    here = [item for item in items if self._writer_of(item) is writer]
                    while here := self._in_time(here):
                        here = self._write(here, writer)
        except Exception as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failed(error)  # first: what has failed may fail once more
            self._settle([*self._in_hand.values()], "given_up")
        finally:
            for writer in set(self._writers.values()):
                writer.close()
            self._clock.close()

    def _writer_of(self, item: Item) -> Writer:
        return self._writers[item.operation.index]

    def _in_time(self, items: Sequence[Item]) -> list[Item]:
        """Those that still are to be written: for others it is too late, or needless."""
        now, come_to = time.monotonic(), self._beside.stream.come_to()
        late: list[Item] = []
        passed: list[Item] = []
        left: list[Item] = []
        for item in items:
            if item.operation.version <= come_to:
                passed.append(item)
            elif item.job.deadline <= now or self._beside.closed:
                late.append(item)
            else:
                left.append(item)
        self._settle(passed, "superseded")
        self._settle(late, "given_up")
        return left

    def _write(self, items: Sequence[Item], writer: Writer) -> list[Item]:
        """Send them; those that are to be sent again."""
        real: list[Item] = list(items)
        try:
            real = self._real(items)
            result = writer.write([item.operation for item in real])
        except CdcError as error:  # the stream meets it too, and does what is to be done
            if self._said.noted("posted"):
                log.warning("posted_not_written", error=str(error))
            time.sleep(PAUSE_SECONDS)
            return real
        return self._sorted(real, result)

    def _real(self, items: Sequence[Item]) -> list[Item]:
        """Without those whose version no commit of the source can have had."""
        highest = max(item.operation.version for item in items)
        if highest > self._log_end:
            self._log_end = self._clock.reach(Position(highest))
        real: list[Item] = []
        for item in items:
            if item.operation.version > self._log_end:
                self._refuse(item, "version_beyond_the_log", BEYOND_THE_END)
            else:
                real.append(item)
        return real

    def _sorted(self, items: Sequence[Item], result: WriteResult) -> list[Item]:
        """Say what became of them; those that are to be sent again."""
        left = {id(item.operation): item for item in items}
        for rejection in result.rejected:
            item = left.pop(id(rejection.operation))
            self._refuse(item, rejection.reason, rejection.explanation)
        again = [left.pop(id(operation)) for operation in result.retry]
        stale = [left.pop(id(operation)) for operation in result.stale]
        self._beside.stream.wrote({item.operation.index for item in left.values()})
        self._settle(list(left.values()), "written")
        self._settle(stale, "superseded")
        if again:
            time.sleep(PAUSE_SECONDS)
        return again

    def _settle(self, items: Sequence[Item], result: Result) -> None:
        self._let_go(items)
        self._beside.settle(items, result)

    def _refuse(self, item: Item, reason: str, explanation: str) -> None:
        self._let_go([item])
        self._beside.refuse(item, reason, explanation)

    def _let_go(self, items: Sequence[Item]) -> None:
        for item in items:
            del self._in_hand[id(item)]
