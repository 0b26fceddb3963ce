"""What every document of a world was at every commit: the oracle's SQL, run after each of them.

Commits wait for each other, so that the statements see the rows of exactly one; sessions otherwise
do what they like. A version is a position in the log, and so says which commit a document is of.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg

from cdc_daemon.values import SESSION_SETTINGS
from tests.generators.json_meaning import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.generators.world_history import Connection

ORACLE_MILLISECONDS = 3000
"""Now and then SQL goes many ways over the same rows: such a read model isn't judged any more."""
AWAY_SECONDS = 60.0
"""A server that was killed is back within that."""
FLUSHED = "select (pg_current_wal_flush_lsn() - '0/0')::text"
"""What a crash doesn't take away again: unlike the position of the next record."""

Text: TypeAlias = "str | None"
"""A document as the oracle writes it; None where there is none."""


class Journal:
    """Follows the commits of one world."""

    def __init__(self, dsn: str, queries: Mapping[str, str]) -> None:
        """`queries`: the SQL of each read model. Notes what is there."""
        settings = {**SESSION_SETTINGS, "jit": "off", "statement_timeout": ORACLE_MILLISECONDS}
        self._dsn = dsn
        self._options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._connection: Connection | None = None
        self._queries = {
            name: f"select id, document::text from ({statement}) d".encode()
            for name, statement in queries.items()
        }
        self._began: list[int] = []
        self._ended: list[int] = []
        self._known: dict[str, dict[str, list[tuple[int, Text]]]] = {name: {} for name in queries}
        """By read model and id: from which commit on a document was what."""
        self.order = threading.RLock()
        """Whoever has it is the only one to commit."""
        self.followed = threading.Event()
        """Set once a slot is there. One that is made beside a truncate may never be decoded: "could
        not map filenumber"."""
        self._note(0)

    @property
    def commits(self) -> int:
        """How many until now."""
        return len(self._ended) - 1

    @property
    def judged(self) -> list[str]:
        """The read models whose documents are known."""
        return list(self._queries)

    def commit(self, connection: Connection) -> None:
        """Commit what is open there, and see what has come of it, even where the server goes away.

        Raises OperationalError where it was away before.
        """
        with self.order:
            before = self._flushed()
            try:
                connection.execute("commit")
            finally:
                self._note(before)

    def now(self, name: str) -> dict[str, Any]:
        """The documents of a read model by id."""
        last = {key: changes[-1][1] for key, changes in self._known[name].items()}
        return {key: parse(text) for key, text in last.items() if text is not None}

    def meant(self, name: str, key: str, version: int) -> list[Any]:
        """What a document was at a position, None for none; two answers where that lies between
        the first and the last record that a commit may have written.
        """  # noqa: D205 - one sentence
        at = bisect_left(self._ended, version)
        commits = {max(at - 1, 0)}
        if at < len(self._ended) and version > self._began[at]:
            commits.add(at)
        return [self._at(name, key, one) for one in sorted(commits)]

    def _at(self, name: str, key: str, commit: int) -> Any:
        texts = [text for at, text in self._known[name].get(key, ()) if at <= commit]
        return parse(texts[-1]) if texts and texts[-1] is not None else None

    def _note(self, before: int) -> None:
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                found = self._look()
                ended = self._flushed()
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        for name, documents in found.items():
            self._changed(name, documents)
        self._began.append(before)
        self._ended.append(ended)

    def _look(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name, query in list(self._queries.items()):
            try:
                found[name] = dict(self._session().execute(query, prepare=True).fetchall())
            except psycopg.errors.QueryCanceled:
                del self._queries[name]
        return found

    def _changed(self, name: str, documents: dict[str, str]) -> None:
        known, at = self._known[name], len(self._ended)
        for key in known.keys() | documents:
            changes = known.setdefault(key, [])
            text = documents.get(key)
            if not changes or changes[-1][1] != text:
                changes.append((at, text))

    def _flushed(self) -> int:
        row = self._session().execute(FLUSHED).fetchone()
        assert row is not None
        return int(row[0])

    def _session(self) -> Connection:
        if self._connection is None or self._connection.broken:
            self._connection = psycopg.connect(self._dsn, autocommit=True, options=self._options)
        return self._connection

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
