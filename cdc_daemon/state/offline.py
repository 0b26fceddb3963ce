"""The state without its daemon: looked at (also beside it), compacted, given up."""

from __future__ import annotations

import os
import tempfile
from collections import Counter as Tally
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from cdc_daemon.errors import StateError
from cdc_daemon.events import NOWHERE
from cdc_daemon.state.applying import position_in
from cdc_daemon.state.deciding import Here, Rebuild, reason_not_to_open
from cdc_daemon.state.environment import DATA, LOCK, ChangedError, Environment, may_lock, size_of
from cdc_daemon.state.mark import (
    COPY,
    OWNER,
    boot_id,
    give_to_owner_of,
    owned,
    owner,
    read_mark,
    sync_folder,
    write_mark,
)
from cdc_daemon.state.opening import decided, file_bytes
from cdc_daemon.state.schema import (
    COUNTERS,
    FAN_OUTS,
    HOLES,
    META,
    NUMBER_BYTES,
    PENDING,
    SCHEMA,
    TREES,
    Schema,
    fitted,
    tree_of_index,
    tree_of_table,
)
from cdc_daemon.state.viewing import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.events import Position
    from cdc_daemon.state.applying import Batch
    from cdc_daemon.state.environment import Transaction
    from cdc_daemon.state.mark import Mark
    from cdc_daemon.state.schema import Wanted

T = TypeVar("T")

ASKED_FOR: Final = "a person asked for it to be loaded anew (cdc-daemon state rebuild)"


@dataclass(frozen=True, slots=True)
class TreeFigures:
    """A table, or an index of it."""

    table: str
    index: str
    """The columns that it groups by; empty for the table itself."""
    entries: int
    size_bytes: int
    complete: bool
    """Whether a table is loaded, an index built."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What there is."""

    folder: Path
    pipeline: str
    state_id: str
    source_id: str
    used_by: int | None
    """The process that has it, None where nobody does."""
    lost: str
    """Why the next start will load it anew; empty where it won't, as far as it can be known."""
    file_bytes: int
    map_bytes: int = 0
    position: Position = NOWHERE
    trees: tuple[TreeFigures, ...] = ()
    counters: int = 0
    holes: int = 0
    pending: tuple[tuple[str, int], ...] = ()
    """By projection."""
    fan_outs: tuple[tuple[str, int], ...] = ()
    """The same."""
    dropped: tuple[str, ...] = ()
    """What nobody reads, and is still there."""


def inspect(folder: Path) -> Inspection:
    """Look at a state. Raises StateError where there is none."""
    mark = _required_mark(folder)
    used_by = owner(folder)
    shell = Inspection(
        folder,
        mark.pipeline,
        mark.state_id,
        mark.source_id,
        used_by,
        _reason(mark, folder) or "",
        file_bytes(folder),
    )
    return shell if shell.lost else _looked_into(shell)


def foreseen(
    folder: Path, here: Here, show: Callable[[Position], str]
) -> tuple[str | None, Schema]:
    """Why a start would not go on with the state, None where it would; and what is kept in it."""
    mark = read_mark(folder)
    reason = reason_not_to_open(mark, here, file_bytes(folder))
    if reason is not None or mark is None:
        return reason, Schema()
    env = _opened(folder)
    try:
        decision = decided(env, mark, here, show)
        if isinstance(decision, Rebuild):
            return decision.reason, Schema()
        return None, View(env, {name: env.kept(name) for name in TREES}).schema
    finally:
        env.close()


@contextmanager
def viewed(folder: Path, wanted: Wanted) -> Iterator[View]:
    """What is wanted of a state, to be read. Raises StateError where it doesn't have all of it."""
    mark = _required_mark(folder)
    reason = _reason(mark, folder)
    env = None if reason else _opened(folder)
    try:
        view = None if env is None else _Beside(folder, env)
        if env is None or view is None or not _has(view.schema, wanted):
            lacking = "not all that this configuration reads is there yet"
            raise StateError(
                f"the state in {folder} can't be asked: {reason or lacking}. Ask again once a "
                "daemon has loaded it (cdc-daemon status shows how far it is); explain --sql asks "
                "the source in its place"
            )
        view.lay_out(wanted, env.kept)
        yield view
    finally:
        if env is not None:
            env.close()


class _Beside(View):
    """A state that its daemon may be changing: what is wanted may be made anew while it is read."""

    def __init__(self, folder: Path, env: Environment) -> None:
        self._folder = folder
        super().__init__(env, {name: env.kept(name) for name in TREES})

    def read(self, work: Callable[[Batch], T]) -> T:
        """The same. Raises ChangedError where it isn't the state any longer that was opened."""

        def of_the_same(batch: Batch) -> T:
            if self._kept_schema(batch.txn) != self.schema:
                raise ChangedError(self._folder)
            return work(batch)

        return super().read(of_the_same)


def _has(schema: Schema, wanted: Wanted) -> bool:
    fitting = fitted(schema, wanted)
    return fitting.next == schema.next and not fitting.lacks(wanted)


def compact(folder: Path) -> tuple[int, int]:
    """Leave out free pages; return the size in bytes before and after.

    Raises StateError where a process has the state, or it can't be trusted.
    """
    with owned(folder):
        mark = _required_mark(folder)
        reason = _reason(mark, folder)
        if reason is not None:
            raise StateError(
                f"the state in {folder} is not worth compacting: {reason}. The next start loads it "
                "anew"
            )
        before = file_bytes(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=COPY) as beside:
            after = _copy(folder, Path(beside))
            for new in (Path(beside) / DATA, folder / LOCK, folder / OWNER):
                give_to_owner_of(folder / DATA, new)
            # First the mark: both files are at least as long as it says.
            write_mark(folder, replace(mark, file_bytes=after))
            (Path(beside) / DATA).replace(folder / DATA)
            sync_folder(folder)
        write_mark(folder, replace(mark, file_bytes=after, clean=True))
        return before, after


def rebuild(folder: Path) -> None:
    """Give the state up: the next start loads it anew. Raises StateError where a process has it."""
    mark = _required_mark(folder)
    with owned(folder):
        write_mark(folder, replace(mark, lost=ASKED_FOR))


def _opened(folder: Path) -> Environment:
    """To be read, also beside the daemon. Raises StateError for who could only read what that one
    is just writing over: LMDB's readers write where they are.
    """  # noqa: D205 - one sentence
    used_by = None if may_lock(folder) else owner(folder)
    if used_by is not None:
        raise StateError(
            f"the state in {folder} is used by another process (pid {used_by}), and this account "
            "may not write there: what is read without a word to that process, it may overwrite "
            "meanwhile. Ask with an account that may, such as the daemon's, or once that has ended"
        )
    return Environment(folder, most_bytes=None, readonly=True)


def _copy(folder: Path, beside: Path) -> int:
    env = Environment(folder, most_bytes=None)
    try:
        env.copy_compacted(beside)
    finally:
        env.close()
    with (beside / DATA).open("rb") as file:
        os.fsync(file.fileno())
    return file_bytes(beside)


def _required_mark(folder: Path) -> Mark:
    mark = read_mark(folder)
    if mark is None:
        raise StateError(
            f"there is no state in {folder}: the daemon makes one when a read model needs it. If "
            "it is elsewhere, let state.path name that folder"
        )
    return mark


def _reason(mark: Mark, folder: Path) -> str | None:
    """What can be known without source and sink."""
    here = Here(mark.pipeline, mark.source_id, boot_id(), None, None, mark.state_id)
    return reason_not_to_open(mark, here, file_bytes(folder))


def _looked_into(shell: Inspection) -> Inspection:
    env = _opened(shell.folder)
    try:
        with env.reading() as txn:
            meta = env.found(META, txn)
            if meta is None:
                return replace(shell, lost="the state's file is empty")
            stored = txn.get(SCHEMA, db=meta)
            schema = Schema() if stored is None else Schema.from_json(stored)
            return replace(
                shell,
                map_bytes=env.map_bytes,
                position=position_in(txn, meta),
                trees=tuple(_trees(env, txn, schema)),
                counters=_entries(env, txn, COUNTERS),
                holes=_entries(env, txn, HOLES),
                pending=_by_projection(env, txn, PENDING, schema),
                fan_outs=_by_projection(env, txn, FAN_OUTS, schema),
                dropped=schema.dropped,
            )
    finally:
        env.close()


def _trees(env: Environment, txn: Transaction, schema: Schema) -> list[TreeFigures]:
    names = {table.number: name for name, table in schema.tables.items()}
    found = [
        (names[table.number], "", tree_of_table(table.number), table.loaded)
        for table in schema.tables.values()
    ]
    found += [
        (names[index.table], index.columns, tree_of_index(index.number), index.built)
        for index in schema.indexes.values()
    ]
    figures = []
    for table, columns, tree, complete in found:
        database = env.found(tree, txn)
        entries, size = (0, 0) if database is None else size_of(txn, database)
        figures.append(TreeFigures(table, columns, entries, size, complete))
    return figures


def _entries(env: Environment, txn: Transaction, tree: str) -> int:
    database = env.found(tree, txn)
    return 0 if database is None else size_of(txn, database)[0]


def _by_projection(
    env: Environment, txn: Transaction, tree: str, schema: Schema
) -> tuple[tuple[str, int], ...]:
    database = env.found(tree, txn)
    if database is None:
        return ()
    tally: Tally[bytes] = Tally()
    with txn.cursor(database) as cursor:
        tally.update(key[:NUMBER_BYTES] for key in cursor.iternext(keys=True, values=False))
    return tuple(
        (name.partition(" ")[0], tally[number.to_bytes(NUMBER_BYTES, "big")])
        for name, number in schema.projections.items()
    )
