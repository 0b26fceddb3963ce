"""Sessions that write into one world at once: their transactions overlap, their commits don't."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext, suppress
from random import Random
from typing import TYPE_CHECKING, Self

import psycopg

from tests.generators.world_history import WorldHistory
from tests.generators.worlds import World

if TYPE_CHECKING:
    from tests.generators.world_history import Connection
    from tests.generators.world_journal import Journal

SETTINGS = "-c deadlock_timeout=20ms -c lock_timeout=100ms"
REWRITING_SHARE = 0.1
"""Of the sessions: they truncate once where there are partitions. All that shows these is loaded
anew then, and all else waits for the daemon to begin anew."""
TRUNCATED_SHARE = 0.3
"""Of the truncates that are drawn: after each there is little to be wrong about for a while."""
TIRING = 1.1
MOST_REST_SECONDS = 6.0
"""Sessions tire until they are told how fast to go: the longer a daemon takes to start, the more it
needs the machine, and thousands of commits before that show nothing that dozens don't."""
ROLLED_BACK_SHARE = 0.1
LATE_SHARE = 0.1
MOST_LATE_SECONDS = 0.5


class Writer(threading.Thread):
    """One session, which goes on until it is told to stop, also after its server was killed."""

    def __init__(
        self, dsn: str, world: World, journal: Journal, rng: Random, pause_seconds: float
    ) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self._world = World(world.tables, values=world.values)
        self._journal = journal
        self._rng = rng
        self._pause_seconds = pause_seconds
        self._weary = 1.0
        self._tires = True
        self._stop_asked = threading.Event()
        self._may_rewrite = rng.random() < REWRITING_SHARE
        self.failure: Exception | None = None

    def pace(self, pause_seconds: float) -> None:
        """From now on rest for as long as that at most between two transactions."""
        self._pause_seconds, self._tires = pause_seconds, False

    def stop(self) -> None:
        """End after the transaction that is open."""
        self._stop_asked.set()

    def run(self) -> None:
        """Connect, again and again, and commit."""
        try:
            while not self._stop_asked.is_set():
                with suppress(psycopg.Error):  # it was killed
                    self._connected()
                time.sleep(0.05)
        except Exception as error:  # noqa: BLE001 - the test's own thread raises it
            self.failure = error

    def _connected(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True, options=SETTINGS) as connection:
            history = WorldHistory(self._rng, self._world, connection)
            history.look()
            while not self._stop_asked.wait(self._rest_seconds()):
                self._transaction(history, connection)

    def _rest_seconds(self) -> float:
        most = self._pause_seconds
        if self._tires:
            most = min(most * self._weary, MOST_REST_SECONDS)
            self._weary *= TIRING
        return self._rng.uniform(0, most)

    def _transaction(self, history: WorldHistory, connection: Connection) -> None:
        statements = history.draw()
        truncates = any(statement.startswith("truncate") for statement in statements)
        if truncates and not self._may_truncate():
            return
        # Until it commits nobody can look at the table: so it doesn't wait for its turn then.
        with self._journal.order if truncates else nullcontext():
            connection.execute("begin")
            history.perform(statements)
            if not truncates and self._rng.random() < LATE_SHARE:
                self._stop_asked.wait(self._rng.uniform(0, MOST_LATE_SECONDS))
            if self._rng.random() < ROLLED_BACK_SHARE:
                connection.execute("rollback")
            else:
                self._journal.commit(connection)
        with suppress(psycopg.errors.LockNotAvailable):
            history.look()

    def _may_truncate(self) -> bool:
        if not self._journal.followed.is_set() or self._rng.random() > TRUNCATED_SHARE:
            return False
        if not any(table.partitioned for table in self._world.tables):
            return True
        may, self._may_rewrite = self._may_rewrite, False
        return may


class Writers:
    """Several of them, for as long as the context lasts."""

    def __init__(
        self,
        dsn: str,
        world: World,
        journal: Journal,
        rng: Random,
        *,
        pause_seconds: float,
        sessions: int = 2,
    ) -> None:
        self._writers = [
            Writer(dsn, world, journal, Random(rng.getrandbits(32)), pause_seconds)
            for _ in range(sessions)
        ]

    def pace(self, pause_seconds: float) -> None:
        """From now on a session rests for as long as that at most between two transactions."""
        for writer in self._writers:
            writer.pace(pause_seconds)

    def __enter__(self) -> Self:
        for writer in self._writers:
            writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers:
            writer.stop()
        for writer in self._writers:
            writer.join(90)
            assert not writer.is_alive()
            if writer.failure is not None:
                raise writer.failure
