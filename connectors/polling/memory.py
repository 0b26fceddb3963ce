"""What polls have read, kept on disk: SQLite, in the state folder. The only module that knows it.

A poll is one transaction of the file, on disk before its commit is given to the pipeline. So a
start finds up to where it had read, and what it has given since the checkpoint: whatever a poll
has given that isn't durable is doubtful then. It is given once more, and deleted if it is gone.

The thread of the source writes it, and between two polls those that read chunks.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import StateError
from cdc_daemon.events import NOWHERE, Position
from connectors.polling.kept import DOUBTFUL, Known, Poll, bounds_text, read_bounds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from connectors.polling.kept import Bound
    from connectors.polling.seen import Seen

PAGE_ROWS: Final = 5000
"""Looked through at a time for those that are gone: nothing else is held meanwhile."""
BUSY_SECONDS: Final = 30
"""A command that looks at the file is done within milliseconds."""
FORMAT: Final = 1
"""Of the tables below."""

_TABLES: Final = """
create table poll (
  number integer primary key, position integer not null, source_id text not null,
  log_end integer not null, time real not null, bounds text not null);
create table followed (number integer primary key, name text not null unique);
create table remembered (
  number integer primary key, of_table integer not null, key blob not null, digest blob not null,
  key_values blob not null, unique (of_table, key));
create table given (poll integer not null, of_table integer not null, key blob not null,
  key_values blob not null);
create index given_by on given (poll);
create table reached (position integer not null);
"""
_KNOWN: Final = "select number, of_table, key, digest, key_values from remembered where"
_PUT: Final = """
insert into remembered (of_table, key, digest, key_values) values (?, ?, ?, ?)
on conflict (of_table, key) do update set digest = excluded.digest, key_values = excluded.key_values
"""
_NOTE: Final = (
    "insert or ignore into remembered (of_table, key, digest, key_values) values (?, ?, ?, ?)"
)
_DOUBT: Final = """
insert into remembered (of_table, key, digest, key_values)
select of_table, key, ?, key_values from given where poll > ?
on conflict (of_table, key) do update set digest = excluded.digest
"""


class Memory:
    """One file. `exchange` keeps polls and readers of chunks apart."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened: sqlite3.Connection | None = None
        self._turn = Condition()
        self._polling = False
        self._noting = 0
        self._tables: dict[str, int] = {}
        self._last = 0
        """The number of the last poll."""
        self._newest_row = 0
        """The highest number of a row before the poll began."""

    def polls(self) -> list[Poll]:
        """Those that a start can go on from, the oldest first; none where there is no file."""
        if not self._file.exists():
            return []
        with self._turn, self._mapped():
            found = self._connection.execute(
                "select position, source_id, log_end, time, bounds from poll order by number"
            ).fetchall()
        return [
            Poll(Position(position), source_id, Position(end), time, read_bounds(bounds))
            for position, source_id, end, time, bounds in found
        ]

    @property
    def reached(self) -> Position:
        """The highest position that a poll has had."""
        with self._turn, self._mapped():
            [(position,)] = self._connection.execute("select max(position) from reached")
        return Position(position or NOWHERE)

    def begin_anew(self, poll: Poll) -> None:
        """Forget everything; `poll` is what the stream begins after."""
        with self._writing():
            for table in ("poll", "followed", "remembered", "given", "reached"):
                self._connection.execute(f"delete from {table}")  # noqa: S608 - names from above
            self._tables = {}
            self._add(poll)

    def go_on(self, poll: Poll) -> None:
        """Go on from that poll, one of `polls`: what was given since is doubtful."""
        with self._writing():
            [(number,)] = self._connection.execute(
                "select max(number) from poll where position <= ?", [poll.position]
            )
            self._connection.execute(_DOUBT, [DOUBTFUL, number])
            self._connection.execute("delete from given where poll > ?", [number])
            self._connection.execute("delete from poll where number > ?", [number])

    def follow(self, bounds: Mapping[str, Bound]) -> None:
        """These tables are followed from now on, and no others: as the last poll says."""
        with self._writing():
            self._connection.execute(
                "update poll set bounds = ? where number = (select max(number) from poll)",
                [bounds_text(dict(bounds))],
            )
            names = [*bounds]
            marks = ", ".join("?" * len(names))
            gone = f"select number from followed where name not in ({marks})"  # noqa: S608 - marks
            for table in ("remembered", "given"):
                self._connection.execute(
                    f"delete from {table} where of_table in ({gone})",  # noqa: S608 - as above
                    names,
                )
            self._connection.execute(f"delete from followed where name not in ({marks})", names)  # noqa: S608 - as above
            self._tables = {}

    def forget(self) -> None:
        """Remove the file."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)

    def table(self, name: str) -> int:
        """The number of a table that is followed."""
        if name not in self._tables:
            run = self._connection.execute
            run("insert or ignore into followed (name) values (?)", [name])
            [(number,)] = run("select number from followed where name = ?", [name])
            self._tables[name] = number
        return self._tables[name]

    def begin(self) -> None:
        """A poll begins: what it does is kept when it ends, or not at all."""
        with self._turn:
            self._turn.wait_for(lambda: not self._noting)
            self._polling = True
        with self._mapped():
            self._connection.execute("begin immediate")
            [(newest, last)] = self._connection.execute(
                "select (select max(number) from remembered), (select max(number) from poll)"
            )
        self._newest_row, self._last = newest or 0, last or 0

    def known(self, table: int, keys: Sequence[bytes]) -> dict[bytes, Known]:
        """Those rows of a table that are remembered, by their keys."""
        marks = ", ".join("?" * len(keys))
        with self._mapped():
            found = self._connection.execute(
                f"{_KNOWN} of_table = ? and key in ({marks})", [table, *keys]
            )
            return {line[2]: Known(*line) for line in found}

    def put(self, table: int, rows: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Remember rows: the key, the digest, and the values of the key."""
        with self._mapped():
            self._connection.executemany(_PUT, ((table, *row) for row in rows))

    def give(self, table: int, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Changes of these rows are given: key, and values of the key."""
        number = self._last + 1
        with self._mapped():
            self._connection.executemany(
                "insert into given (poll, of_table, key, key_values) values (?, ?, ?, ?)",
                ((number, table, *row) for row in rows),
            )

    def unseen(self, tables: Sequence[int], seen: Seen) -> Iterator[list[Known]]:
        """Rows of these tables that were there before the poll, and that it hasn't met."""
        after = 0
        marks = ", ".join("?" * len(tables))
        while True:
            with self._mapped():
                page = self._connection.execute(
                    f"{_KNOWN} number > ? and number <= ? and of_table in ({marks}) "
                    "order by number limit ?",
                    [after, self._newest_row, *tables, PAGE_ROWS],
                ).fetchall()
            if not page:
                return
            after = page[-1][0]
            if unseen := [Known(*line) for line in page if line[0] not in seen]:
                yield unseen

    def remove(self, rows: Iterable[Known]) -> None:
        """Remember these no longer."""
        with self._mapped():
            self._connection.executemany(
                "delete from remembered where number = ?", ((row.number,) for row in rows)
            )

    def end(self, poll: Poll) -> None:
        """The poll is over: return when all of it is on disk."""
        with self._mapped():
            self._add(poll)
            self._connection.execute("commit")
        self._let_note()

    def settle(self, durable: Position) -> None:
        """No start goes on from before `durable`: polls before that needn't be known any more."""
        with self._writing():
            run = self._connection.execute
            [(oldest,)] = run("select max(number) from poll where position <= ?", [durable])
            run("delete from given where poll <= ?", [oldest or 0])
            run("delete from poll where number < ?", [oldest or 0])

    def undo(self) -> None:
        """The poll came to nothing. Where none has begun, nothing: others may be noting rows."""
        with self._turn:
            if not self._polling:
                return
            try:
                with self._mapped():
                    if self._opened is not None and self._opened.in_transaction:
                        self._opened.execute("rollback")
            finally:
                self._tables = {}
                self._let_note()

    def note(self, table: str, rows: Sequence[tuple[bytes, bytes]]) -> int:
        """Somebody else has read rows, given by key and values of the key: any thread calls it.

        Those that no poll knows are to be looked for: how many. Waits while a poll is under way.
        """
        with self._turn:
            self._noting += 1
            self._turn.wait_for(lambda: not self._polling)
        try:
            with self._writing():
                number = self.table(table)
                noted = self._connection.executemany(
                    _NOTE, ((number, key, DOUBTFUL, values) for key, values in rows)
                )
                return noted.rowcount
        finally:
            with self._turn:
                self._noting -= 1
                self._turn.notify_all()

    def close(self) -> None:
        """Let the file go. Safe to call twice."""
        with self._turn:
            self.undo()
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        connection = sqlite3.connect(
            self._file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            # Whoever looks at the file while a poll goes on sees the last one.
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            [(format_,)] = connection.execute("pragma user_version")
            if format_ == 0:
                connection.executescript(
                    f"begin; {_TABLES}; pragma user_version = {FORMAT}; commit;"
                )
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All of it is on disk after the block, or nothing; one at a time, and no poll."""
        with self._turn, self._mapped():
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                self._connection.execute("rollback")
                self._tables = {}
                raise

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StateError:
        return StateError(
            f"what polls have read can't be kept in {self._file}: {error}. Let state.path name a "
            "folder with room that the daemon may write, on a local disk. If the file is damaged, "
            "remove it, and start again: everything is loaded anew"
        )

    def _let_note(self) -> None:
        with self._turn:
            self._polling = False
            self._turn.notify_all()

    def _add(self, poll: Poll) -> None:
        run = self._connection.execute
        run(
            "insert into poll (position, source_id, log_end, time, bounds) values (?, ?, ?, ?, ?)",
            [
                *(poll.position, poll.source_id, poll.log_end, poll.time),
                bounds_text(poll.bounds),
            ],
        )
        run("delete from reached")
        run("insert into reached (position) values (?)", [poll.position])
