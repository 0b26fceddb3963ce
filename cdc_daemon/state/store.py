"""The state of one pipeline, open: rows, indexes, counters, what is pending, and where it all is.

One thread owns it. Everything in it is a cache of the source: a state that can't be trusted is
given up, and loaded anew.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from cdc_daemon.state.environment import DamagedError, FullError, drop_some, size_of
from cdc_daemon.state.mark import write_lost, write_mark
from cdc_daemon.state.schema import (
    FAN_OUTS,
    META,
    PENDING,
    SCHEMA,
    TREES,
    Schema,
    fitted,
    place_of,
)
from cdc_daemon.state.viewing import View

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from cdc_daemon.events import Position, Relation
    from cdc_daemon.state.applying import Batch
    from cdc_daemon.state.environment import Database, Environment, Transaction
    from cdc_daemon.state.mark import Mark
    from cdc_daemon.state.schema import Wanted
    from cdc_daemon.state.table import Index

SLICE: Final = 2_000
"""Entries that are dropped, or rows that are indexed, between two looks at the stream: 5 ms."""

NOTED_GROWTH: Final = 2
"""The mark is written (and synced) anew each time that the file is so many times as long."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figures:
    """What metrics show, as of the last sync: other threads may read it at any time."""

    rows: dict[str, int]
    """By table."""
    pending: int
    fan_outs: int
    used_bytes: int
    map_bytes: int
    syncs: int
    sync_seconds: float


class Store(View):
    """An open state."""

    def __init__(self, folder: Path, env: Environment, mark: Mark) -> None:
        self._folder = folder
        self._env = env
        self._mark = mark
        self._syncs = 0
        self._sync_seconds = 0.0
        self._indexed_to: dict[str, bytes] = {}
        super().__init__(
            env, self._transact(lambda txn: {name: env.made(name, txn) for name in TREES})
        )
        self.figures = self._figures()

    @property
    def id(self) -> str:
        """What a checkpoint names, to say which state it goes with."""
        return self._mark.state_id

    def fitting(self, wanted: Wanted, anew: Collection[str] = ()) -> Schema:
        """What there would be of what is wanted, with no row of the tables to be loaded `anew`."""
        return fitted(self.schema, wanted, anew)

    def fit(self, wanted: Wanted, anew: Collection[str] = ()) -> None:
        """Make place for what is wanted, once; `schema` says then what is to load and to count.

        Of the tables to be loaded `anew` no row counts any longer.
        """
        self.schema = fitted(self.schema, wanted, anew)
        self._transact(lambda txn: self._make(wanted, txn))

    def _make(self, wanted: Wanted, txn: Transaction) -> None:
        self._save(self.schema, txn)
        self.lay_out(wanted, lambda name: self._env.made(name, txn))

    def write(self, work: Callable[[Batch], T]) -> T:
        """Have `work` done in one transaction. Where the map is full it grows, and `work` is called
        again: it must do the same each time.
        """  # noqa: D205 - one sentence

        def apply(txn: Transaction) -> T:
            batch = self._batch(txn)
            result = work(batch)
            batch.finish()
            return result

        return self._transact(apply)

    def read(self, work: Callable[[Batch], T]) -> T:
        """Have `work` look at what was committed last."""
        with self._watched():
            return super().read(work)

    def count(self, relation: Relation) -> int:
        """How many rows there are of a table."""
        tree = self.tables[relation].database
        return self.read(lambda batch: size_of(batch.txn, tree)[0])

    def sync(self) -> Position:
        """Bring everything to disk; return up to where it is then."""
        began = time.monotonic()
        self._bring_to_disk()
        self._env.forget_readers()
        self._note_size()
        self._syncs += 1
        self._sync_seconds += time.monotonic() - began
        self.figures = self._figures()
        return self.read(lambda batch: batch.position)

    def _bring_to_disk(self) -> None:
        try:
            self._env.sync()
        except Exception as error:
            # The kernel may have dropped what it could not write: nobody knows what is on disk.
            self.give_up(f"the state could not be synced: {error}")
            raise

    def _note_size(self) -> None:
        """So that a file that was cut is noticed before LMDB reads behind its end, and dies."""
        size = self._env.file_bytes
        if size >= NOTED_GROWTH * self._mark.file_bytes:
            self._mark = replace(self._mark, file_bytes=size)
            write_mark(self._folder, self._mark)

    def loaded(self, table: str) -> None:
        """All rows of a table are there."""
        self._change_schema(self.schema.loaded(table))

    def counted(self, aggregate: str) -> None:
        """The counters of an aggregate are those of the rows."""
        self._change_schema(self.schema.counted(aggregate))

    def index_some(self) -> bool:
        """Index a slice of the rows for an index that is new; return whether all are indexed.

        Indexes read less than there is until then.
        """
        text = next((text for text, one in self.schema.indexes.items() if not one.built), None)
        if text is None:
            return True
        index, begin = self.indexes[text], self._indexed_to.get(text, b"")
        last = self._transact(lambda txn: _index_rows(txn, index, begin))
        if last is None:
            self._change_schema(self.schema.built(text))
        else:
            self._indexed_to[text] = last
        return False

    def drop_some(self) -> bool:
        """Delete a slice of what nobody reads any longer; return whether nothing is left of it."""
        if not self.schema.dropped:
            return True
        if self._transact(lambda txn: self._drop_from(*place_of(self.schema.dropped[0]), txn)):
            self._change_schema(replace(self.schema, dropped=self.schema.dropped[1:]))
        return False

    def _drop_from(self, tree: str, prefix: bytes, txn: Transaction) -> bool:
        database = self._env.made(tree, txn)
        if not drop_some(txn, database, prefix, SLICE):
            return False
        if not prefix:
            txn.drop(database)
            self._env.forget(tree)
        return True

    def give_up(self, reason: str) -> None:
        """The next start loads everything anew."""
        self._mark = replace(self._mark, lost=reason)
        write_lost(self._folder, self._mark)

    def close(self) -> None:
        """Sync, say so, and let go."""
        try:
            if not self._mark.lost:
                self._bring_to_disk()
                size = self._env.file_bytes
                write_mark(self._folder, replace(self._mark, clean=True, file_bytes=size))
        finally:
            self._env.close()

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        while True:
            try:
                with self._watched(), self._env.writing() as txn:
                    return work(txn)
            except FullError:
                self._env.grow()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except DamagedError as error:
            self.give_up(f"the state is damaged: {error.__cause__}")
            raise

    def _change_schema(self, schema: Schema) -> None:
        self.schema = schema
        self._transact(lambda txn: self._save(schema, txn))

    def _save(self, schema: Schema, txn: Transaction) -> None:
        txn.put(SCHEMA, schema.to_json(), db=self._trees[META])

    def _figures(self) -> Figures:
        with self._env.reading() as txn:
            rows = {
                table.relation.qualified_name: size_of(txn, table.database)[0]
                for table in self.tables.values()
            }
            waiting, _ = size_of(txn, self._trees[PENDING])
            fan_outs, _ = size_of(txn, self._trees[FAN_OUTS])
        return Figures(
            rows,
            waiting,
            fan_outs,
            self._env.used_bytes,
            self._env.map_bytes,
            self._syncs,
            self._sync_seconds,
        )


def _index_rows(txn: Transaction, index: Index, begin: bytes) -> bytes | None:
    """Index a slice of rows after `begin`; return the last one's key, None after the last slice."""
    database: Database = index.table.database
    with txn.cursor(database) as cursor:
        there = cursor.set_range(begin) if begin else cursor.first()
        for _ in range(SLICE):
            if not there:
                return None
            key, packed = cursor.item()
            index.move(txn, key, None, packed)
            there = cursor.next()
    return key
