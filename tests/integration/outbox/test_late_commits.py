"""Transactions that commit late, in any order, are never missed; a read has all that is visible."""

from __future__ import annotations

import os
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg

from tests.generators.budget import repeatable, rounds, seeded
from tests.generators.outbox_rows import Added
from tests.integration.outbox.conftest import ITEM

if TYPE_CHECKING:
    from random import Random

    from tests.conftest import Database
    from tests.integration.outbox.conftest import Connection, MakeOutbox

SESSIONS = 4
STEPS = 14
KEYS = 3
"""Of each session: they never wait for each other."""
INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS") or 20)
"""At least so many, whatever time they take."""


class Session:
    """One session of the application, which does a step at a time."""

    def __init__(self, dsn: str, number: int, rng: Random) -> None:
        self._connection = psycopg.connect(dsn, prepare_threshold=2)
        self._number = number
        self._rng = rng
        self._savepoints = 0
        self.has_written = False
        """In the transaction that is open: what was numbered then is committed later."""

    def step(self) -> None:
        """Write something, set a savepoint, go back to one, or end the transaction."""
        rng = self._rng
        chance = rng.random()
        if chance < 0.5:
            self._write()
        elif chance < 0.6:
            self._savepoints += 1
            self._connection.execute(f"savepoint s{self._savepoints}".encode())
        elif chance < 0.7 and self._savepoints:
            self._savepoints = rng.randint(1, self._savepoints)
            self._connection.execute(f"rollback to savepoint s{self._savepoints}".encode())
        elif chance < 0.9:
            self.end()
        else:
            self._savepoints = 0
            self._connection.rollback()
            self.has_written = False

    def end(self) -> None:
        """Commit."""
        self._savepoints = 0
        self._connection.commit()
        self.has_written = False

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def _write(self) -> None:
        key = self._number * 10 + self._rng.randrange(KEYS)
        note = self._rng.choice("abcdef")
        self.has_written = True
        match self._rng.randrange(4):
            case 0:
                self._connection.execute("delete from item where id = %s", [key])
            case 1:
                statement = "update item set id = %s, note = %s where id = %s"
                other = self._number * 10 + KEYS + self._rng.randrange(KEYS)
                taken = "select from item where id = %s"
                if self._connection.execute(taken, [other]).fetchone() is None:
                    self._connection.execute(statement, [other, note, key])
            case _:
                statement = (
                    "insert into item values (%s, %s) on conflict (id) do update set note = %s"
                )
                self._connection.execute(statement, [key, note, note])


def test_no_interleaving_loses_a_change(
    database: Database, connection: Connection, make_outbox: MakeOutbox
) -> None:
    """Sessions that take steps in turn, with savepoints and rollbacks; reads in between.

    INTERLEAVINGS=1000 makes so many.
    """
    seed, rng = seeded()
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    counts: Counter[str] = Counter()
    with repeatable(seed), ExitStack() as stack:
        sessions = [Session(database.dsn, number, rng) for number in range(SESSIONS)]
        for each in sessions:
            stack.callback(each.close)
        for _ in rounds(0.3, least=INTERLEAVINGS):
            counts["interleavings"] += 1
            for _ in range(STEPS):
                rng.choice(sessions).step()
                if rng.random() < 0.25:
                    before = len(added.commits)
                    require_same(added, connection)
                    is_passed = any(session.has_written for session in sessions)
                    counts["reads that passed an open transaction"] += (
                        is_passed and len(added.commits) > before
                    )
            for session in rng.sample(sessions, len(sessions)):
                session.end()
                if rng.random() < 0.25:
                    require_same(added, connection)
            require_same(added, connection)
    counts["reads"] = len(added.commits)
    print(f"outbox: {dict(counts)}, PROPERTY_SEED={seed}", file=sys.stderr)  # noqa: T201 - the counts
    assert counts["reads that passed an open transaction"]


def require_same(added: Added, connection: Connection) -> None:
    """What was read until now is what is committed by now."""
    added.read_all()
    found = connection.execute("select id, note from item").fetchall()
    assert added.rows == {key: [note] for key, note in found}
