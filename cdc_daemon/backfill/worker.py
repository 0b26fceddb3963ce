"""A worker: reads rows on its own connection, and makes of them what their load is for."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.backfill.loads import IDLE_SECONDS
from cdc_daemon.backfill.window import LoadedChunk
from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.errors import CdcError, RetryError, RewrittenError, StopError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.backfill.activeload import ActiveLoad, Work
    from cdc_daemon.backfill.loads import Loads
    from cdc_daemon.config.models import BackfillConfig
    from cdc_daemon.events import Chunk
    from cdc_daemon.ports import ChunkReader, ChunkRows, FoundRows

log = structlog.get_logger(__name__)


class Worker(threading.Thread):
    """One thread with one connection to the source."""

    def __init__(
        self,
        number: int,
        loads: Loads,
        reader: ChunkReader,
        rows_per_second: float | None,
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name=f"backfill-{number}", daemon=True)
        self._number = number
        self._loads = loads
        self._reader = reader
        self._rows_per_second = rows_per_second
        self._failed = failed

    def run(self) -> None:
        """Read until there will be no more work."""
        try:
            while (work := self._loads.take()) is not None:
                if not self._try(work):
                    self._stay_away()
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._failed(error)
        finally:
            self._reader.close()

    def end(self) -> None:
        """Once there will be no more work: one that was never started has a reader as well."""
        if self.ident is None:
            self._reader.close()

    def _try(self, work: Work) -> bool:
        """Do it, or leave it for later; whether there is a connection for more."""
        try:
            self._do(work)
        except RewrittenError as error:
            log.warning("table_rewritten", reason=str(error))
            if work.keys:
                self._loads.put_off(work)
            elif work.load is not None:
                self._loads.rewritten(work.load)
        except StopError as error:
            if work.load is None or not work.load.repairs or work.load.asked.why:
                raise
            work.load.end_settling()
            self._loads.failed(work.load, error)
        except RetryError as error:
            _warn(error)
            self._loads.put_off(work)
            return self._can_look(work)
        return True

    def _can_look(self, work: Work) -> bool:
        """So the window can forget also while nothing can be read."""
        try:
            self._look(work)
        except RetryError:
            return False
        return True

    def _stay_away(self) -> None:
        """Until there is a connection again: others do the work, and the window forgets."""
        self._loads.left(self._number)
        for attempt in retrying():
            with attempt:
                self._try_to_come_back()
        self._loads.came_back(self._number)

    def _try_to_come_back(self) -> None:
        if self._loads.closed:
            return
        try:
            self._reader.visibility()
        except RetryError as error:
            _warn(error)
            raise

    def _do(self, work: Work) -> None:
        load = work.load
        if load is None:
            self._look(work)
        elif load.cancelled:
            load.end_settling()
        elif work.keys:
            self._read_keys(work, load)
        elif work.chunk is None:
            load.settle(self._reader)
            self._loads.planned(load, self._reader.plan(load.relation))
        else:
            self._read(work, load, work.chunk)

    def _look(self, work: Work) -> None:
        self._loads.looked(self._number, work.connection, self._reader.visibility())

    def _read(self, work: Work, load: ActiveLoad, chunk: Chunk) -> None:
        began = time.monotonic()
        read = self._reader.read(load.relation, chunk, load.asked.where)
        self._bring(work, load, read, read.chunk, read.rest)
        if self._rows_per_second:
            self._rest(work, began + len(read.rows) / self._rows_per_second)

    def _read_keys(self, work: Work, load: ActiveLoad) -> None:
        self._bring(work, load, self._reader.read_keys(load.relation, load.key, work.keys))

    def _bring(
        self,
        work: Work,
        load: ActiveLoad,
        read: ChunkRows | FoundRows,
        chunk: Chunk | None = None,
        rest: Chunk | None = None,
    ) -> None:
        # Where only some rows are read nobody looks for the documents of rows that are left out.
        every = bool(load.asked.where)
        contents = {
            name: target.contents(read.rows, every=every) for name, target in load.targets.items()
        }
        loaded = LoadedChunk(
            load=load.number,
            chunk=chunk,
            rest=rest,
            seen=read.seen,
            reached=read.reached,
            contents=contents,
            rows=len(read.rows),
            connection=work.connection,
        )
        self._loads.brought(self._number, read.seen, loaded)

    def _rest(self, work: Work, until: float) -> None:
        """Do nothing, but for a snapshot now and then: the window must be able to forget."""
        while (left := until - time.monotonic()) > 0 and not self._loads.closed:
            time.sleep(min(left, IDLE_SECONDS))
            if left > IDLE_SECONDS:
                with suppress(RetryError):  # the chunk is there: it must not be tried again
                    self._look(work)


def _warn(error: RetryError) -> None:
    log.warning("backfill_retry", reason=error.reason, error=str(error))


def workers(
    config: BackfillConfig,
    loads: Loads,
    new_reader: Callable[[], ChunkReader],
    failed: Callable[[BaseException], None],
) -> list[Worker]:
    """As many as are configured; they share what is configured of rows a second."""
    rate = config.rows_per_second
    share = rate / config.workers if rate else None
    return [Worker(number, loads, new_reader(), share, failed) for number in range(config.workers)]
