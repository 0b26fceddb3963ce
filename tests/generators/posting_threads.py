"""Threads of an application that write rows, and post what they have committed when they like."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from cdc_daemon.client import Changes, Writer, commit_versioned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.client import Committed

HOTELS = 8
"""Few, so that all of them want the same."""
TABLE = "public.hotel"
PAUSES = (0.0, 0.0, 0.0, 0.01, 0.2, 1.0, 3.0, 6.0)
"""Between COMMIT and post: as a process has it that is slow, frozen, or swapped out."""
ANSWER_SECONDS = 5.0


class PostingThreads:
    """They go on until `stop`, which waits for whoever still sleeps."""

    def __init__(self, dsn: str, url: str, key: str, *, writers: int, seed: int) -> None:
        self._dsn = dsn
        self._writer = Writer(url, key, timeout=ANSWER_SECONDS)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._late: list[threading.Thread] = []
        self.outcomes: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed + number),))
            for number in range(writers)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write nothing more, and post all that is written."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for thread in self._late:
            thread.join()
        self._writer.close()
        if self.failures:
            raise self.failures[0]

    def _run(self, rng: random.Random) -> None:
        try:
            with psycopg.connect(self._dsn, row_factory=dict_row) as connection:
                while not self._stop.is_set():
                    self._write(connection, rng)
                    self._stop.wait(rng.choice((0.02, 0.05, 0.1)))
        except BaseException as error:  # noqa: BLE001 - raised again by `stop`
            self.failures.append(error)

    def _write(self, connection: psycopg.Connection[dict[str, Any]], rng: random.Random) -> None:
        """One transaction of one to three statements."""
        changes = Changes()
        try:
            for _ in range(rng.randint(1, 3)):
                _do_something(connection, rng, changes)
            committed = commit_versioned(connection)
        except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
            connection.rollback()
            return
        if len(changes):
            self._post(changes, committed, rng.choice(PAUSES))

    def _post(self, changes: Changes, committed: Committed, pause_seconds: float) -> None:
        if not pause_seconds:
            self._post_now(changes, committed)
            return
        late = threading.Thread(target=self._post_late, args=(changes, committed, pause_seconds))
        self._late.append(late)
        late.start()

    def _post_late(self, changes: Changes, committed: Committed, pause_seconds: float) -> None:
        time.sleep(pause_seconds)
        try:
            self._post_now(changes, committed)
        except BaseException as error:  # noqa: BLE001 - raised again by `stop`
            self.failures.append(error)

    def _post_now(self, changes: Changes, committed: Committed) -> None:
        posted = self._writer.post(changes, committed)
        with self._lock:
            self.outcomes[posted.outcome] += 1


def _do_something(
    connection: psycopg.Connection[dict[str, Any]], rng: random.Random, changes: Changes
) -> None:
    """Insert, update, delete or move a hotel, and note what came of it."""
    id_, name = rng.choice((-1, 1)) * rng.randint(1, HOTELS), f"{rng.random():.9f}"
    kind = rng.choice(("insert", "insert", "update", "update", "delete", "move"))
    if kind == "insert":
        _note(
            connection.execute(
                "insert into hotel (id, name) values (%s, %s) on conflict do nothing returning *",
                [id_, name],
            ).fetchall(),
            changes,
        )
    elif kind == "update":
        _note(
            connection.execute(
                "update hotel set name = %s, draft = %s where id = %s returning *",
                [name, rng.random() < 0.2, id_],
            ).fetchall(),
            changes,
        )
    elif kind == "move":
        rows = connection.execute(
            "update hotel set id = -id where id = %s returning *", [id_]
        ).fetchall()
        for row in rows:
            changes.upsert(TABLE, row, formerly={"id": id_})
    elif connection.execute("delete from hotel where id = %s", [id_]).rowcount:
        changes.delete(TABLE, {"id": id_})


def _note(rows: Sequence[dict[str, Any]], changes: Changes) -> None:
    for row in rows:
        changes.upsert(TABLE, row)
