"""LMDB: the only module that knows of it. Opens a file, hands out transactions, grows the map.

The map is never written through (`writemap`), and nothing is synced at a commit: a killed process
loses nothing, since the kernel has it all; after a crash of the machine the file can't be trusted
(`mark`). Threads: one only.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from shutil import disk_usage
from typing import TYPE_CHECKING, Final, TypeAlias

import lmdb

from cdc_daemon.errors import CdcError, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

DATA: Final = "data.mdb"
LOCK: Final = "lock.mdb"
FIRST_MAP_BYTES: Final = 1 << 30
"""Address space, not memory, nor disk: a small state never grows it."""
READERS_MAP_BYTES: Final = 1 << 40
"""Of who only reads, beside a daemon whose file grows meanwhile: address space, too."""
GROWTH: Final = 2
"""Each time the map is full it is twice as large: it takes no longer than opening the file."""
MOST_DATABASES: Final = 4096
"""Tables and indexes; one that isn't opened costs nothing."""
NO_ROOM_BYTES: Final = 4_000_000
"""Less is left than a transaction may need: LMDB says no more than that a write failed."""

Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Database: TypeAlias = "lmdb._Database"  # noqa: SLF001 - its only name


def may_lock(folder: Path) -> bool:
    """Whether a reader can say what it reads, so that a writer beside it leaves that alone."""
    return os.access(folder, os.W_OK)


class FullError(CdcError):
    """The map is full: the transaction is undone, and can be repeated once the map has grown."""


class Environment:
    """One open file."""

    def __init__(self, folder: Path, *, most_bytes: int | None, readonly: bool = False) -> None:
        self._folder = folder
        self._most = most_bytes
        self._databases: dict[str, Database] = {}
        self._readonly = readonly
        with self._mapped("open"):
            self._env = self._opened()
        if not readonly:
            self.forget_readers()

    def _opened(self) -> lmdb.Environment:
        if not self._readonly:
            return self._open(self._first_map())
        try:
            return self._open(READERS_MAP_BYTES)
        except lmdb.MemoryError:  # a process may be allowed only so much address space
            return self._open(self._first_map())

    def _open(self, map_bytes: int) -> lmdb.Environment:
        return lmdb.open(
            str(self._folder),
            map_size=map_bytes,
            max_dbs=MOST_DATABASES,
            sync=False,
            readonly=self._readonly,
            create=not self._readonly,
            lock=not self._readonly or may_lock(self._folder),
        )

    def _first_map(self) -> int:
        file = self._folder / DATA
        there = file.stat().st_size if file.exists() else 0
        wanted = max(FIRST_MAP_BYTES, there)
        return max(there, min(wanted, self._most)) if self._most else wanted

    def made(self, name: str, txn: Transaction) -> Database:
        """One of the trees in the file, made if it isn't there."""
        if name not in self._databases:
            self._databases[name] = self._env.open_db(name.encode(), txn)
        return self._databases[name]

    def kept(self, name: str) -> Database:
        """One of the trees in a file that is only read. Raises ChangedError if it has gone."""
        try:
            with self._mapped("read"):
                return self._env.open_db(name.encode(), create=False)
        except StateError as error:
            if isinstance(error.__cause__, lmdb.NotFoundError):
                raise ChangedError(self._folder) from error
            raise

    def found(self, name: str, txn: Transaction) -> Database | None:
        """One of the trees in the file, for as long as this transaction lasts."""
        try:
            return self._env.open_db(name.encode(), txn, create=False)
        except lmdb.NotFoundError:
            return None

    def forget(self, name: str) -> None:
        """A tree was removed, or its transaction undone: open it anew when it is asked for."""
        self._databases.pop(name, None)

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction: all of it is kept, or, where an exception leaves the block, nothing.

        Raises FullError where the map has no room for it.
        """
        opened = set(self._databases)
        try:
            with self._mapped("write"), self._env.begin(write=True) as txn:
                yield txn
        except BaseException:
            for name in self._databases.keys() - opened:
                self.forget(name)
            raise

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A view of what was committed last."""
        with self._mapped("read"), self._env.begin() as txn:
            yield txn

    def grow(self) -> int:
        """Make the map larger; no transaction may be open. Raises StateError at its bound."""
        now = self.map_bytes
        if self._most is not None and now >= self._most:
            raise StateError(
                f"the state in {self._folder} has reached state.max_size ({self._most} bytes). "
                "Nothing is lost. Raise state.max_size, and start again"
            )
        larger = min(now * GROWTH, self._most or now * GROWTH)
        with self._mapped("grow"):
            self._env.set_mapsize(larger)
        return larger

    @property
    def map_bytes(self) -> int:
        """How much the file may hold before the map must grow; of who only reads, after a start."""
        return self._first_map() if self._readonly else int(self._env.info()["map_size"])

    @property
    def used_bytes(self) -> int:
        """How much of it has been used at some time; what was freed is used again."""
        return (int(self._env.info()["last_pgno"]) + 1) * int(self._env.stat()["psize"])

    @property
    def file_bytes(self) -> int:
        """The size of the file. Raises StateError where it was taken away while it is open."""
        try:
            return (self._folder / DATA).stat().st_size
        except OSError as error:
            raise StateError(
                f"the state in {self._folder} was taken away while it is used ({error.strerror}). "
                "Nothing is lost: start again, and it is loaded anew from the source"
            ) from error

    def sync(self) -> None:
        """Return when all that was committed is on disk."""
        with self._mapped("sync"):
            self._env.sync(True)  # noqa: FBT003 - LMDB's signature: wait for it

    def forget_readers(self) -> None:
        """Let go of what killed processes were reading: no page that was freed since is used again
        before, and the file grows with each change. 1 µs.
        """  # noqa: D205 - one sentence
        with self._mapped("look for readers of"):
            self._env.reader_check()

    def copy_compacted(self, folder: Path) -> None:
        """Write a copy without free pages into another, empty folder."""
        with self._mapped("copy"):
            self._env.copy(str(folder), compact=True)

    def close(self) -> None:
        """Let the file go."""
        self._env.close()

    @contextmanager
    def _mapped(self, doing: str) -> Iterator[None]:
        try:
            yield
        except lmdb.MapFullError as error:
            raise FullError from error
        except lmdb.Error as error:
            raise _explained(error, doing, self._folder) from error


class ChangedError(StateError):
    """What was to be read has gone, or is being made anew, since it was looked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"the state in {folder} has just been changed by the daemon that uses it. Ask again"
        )


class DamagedError(StateError):
    """The file isn't what LMDB has written: it can't be trusted."""


_DAMAGED: Final = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.BadTxnError,  # what comes after the first of them, where LMDB didn't say so at once
)


def _explained(error: lmdb.Error, doing: str, folder: Path) -> StateError:
    if isinstance(error, _DAMAGED):
        return DamagedError(
            f"the state in {folder} is damaged ({error}). Nothing is lost: start again, and it is "
            "loaded anew from the source"
        )
    if folder.exists() and disk_usage(folder).free < NO_ROOM_BYTES:
        return StateError(
            f"there is no room on the disk for the state in {folder}. Nothing is lost: make room "
            "there, or let state.path name another folder, and start again"
        )
    return StateError(
        f"can't {doing} the state in {folder}: {error}. Let state.path name a folder that the "
        "daemon may write, on a local disk"
    )


def keys_there(txn: Transaction, database: Database, keys: Sequence[bytes]) -> set[bytes]:
    """Those of `keys` that are there."""
    with txn.cursor(database) as cursor:
        if not cursor.last() or cursor.key() < min(keys):
            return set()
        return set(cursor.getmulti(keys, values=False))


def put_all(txn: Transaction, database: Database, entries: list[tuple[bytes, bytes]]) -> None:
    """Put many entries by one call, in order; appended where all of them come behind the last."""
    if entries:
        entries.sort()
        with txn.cursor(database) as cursor:
            at_the_end = not cursor.last() or cursor.key() < entries[0][0]
            cursor.putmulti(entries, append=at_the_end)


def drop_some(txn: Transaction, database: Database, prefix: bytes, most: int) -> bool:
    """Delete up to `most` entries that begin with `prefix`; return whether there are none left."""
    with txn.cursor(database) as cursor:
        there = cursor.set_range(prefix) if prefix else cursor.first()
        while there and most and cursor.key().startswith(prefix):
            there = cursor.delete()
            most -= 1
    return most > 0


def size_of(txn: Transaction, database: Database) -> tuple[int, int]:
    """Entries and bytes of a tree."""
    found = txn.stat(database)
    pages = found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
    return int(found["entries"]), int(pages * found["psize"])
