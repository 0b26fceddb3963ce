"""Rows that the state lacks: what is left to read of its tables; chunks put in, slice by slice.

How far it is stays in the state itself, written together with the rows.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from cdc_daemon.backfill.targets import StateTarget
from cdc_daemon.backfill.todo import merged, without
from cdc_daemon.events import Chunk, Load
from cdc_daemon.projection.rejection import MARK_BYTE as REJECTED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from cdc_daemon.backfill.activeload import ActiveLoad
    from cdc_daemon.backfill.window import LoadedChunk
    from cdc_daemon.events import Relation
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Batch, Store, Table

SLICE: Final = 2_000
"""Rows that are put in between two looks at the stream: about 5 ms with an index."""
MOST_KEYS: Final = 500
"""Rows that are read by key at once: large values are in them."""


class Beginning(NamedTuple):
    """A load to begin, or to go on with."""

    relation: Relation
    target: StateTarget
    load: Load


class PutIn(NamedTuple):
    """A slice of a chunk on its way into the state."""

    table: Table
    rows: Sequence[tuple[bytes, bytes]]
    progress: bytes
    is_last: bool
    """Whether all of the chunk is there then."""
    rejected: Sequence[tuple[bytes, bytes]]
    """Rows that can't be kept, since nobody can read their keys."""


class StateChunks:
    """Of one state. The reader calls it."""

    def __init__(self, store: Store, plans: Sequence[Plan]) -> None:
        self._store = store
        self._plans = plans
        stored = _read(store.read(lambda batch: batch.progress))
        numbers = {table.number for table in store.tables.values()}
        self._stored = {number: load for number, load in stored.items() if number in numbers}
        """How far the load of each table is, by the table's number."""

    def expect(self, joined: Collection[str]) -> None:
        """These tables have come into the stream only now: note it before a checkpoint does."""
        for one in self.to_begin():
            if one.load.table in joined:
                self._stored[one.target.table.number] = replace(one.load, joined=True)
        progress = _written(self._stored)
        self._store.write(lambda batch: batch.note_progress(progress))

    def to_begin(self) -> Iterator[Beginning]:
        """The loads of all tables that lack rows."""
        lacking = set(self._store.schema.to_load)
        for relation, table in self._store.tables.items():
            if relation.qualified_name in lacking:
                names = [plan.name for plan in self._plans if relation in plan.relations]
                load = self._stored.get(table.number) or Load(relation.qualified_name, ())
                target = StateTarget(table, names)
                yield Beginning(relation, target, replace(load, projections=tuple(names)))

    def slice_of(self, load: ActiveLoad, chunk: LoadedChunk) -> PutIn:
        """What to put in next; `took` once it is there."""
        target = load.state
        assert target is not None  # noqa: S101 - the caller asks for such loads only
        (contents,) = chunk.contents.values()
        some = [(key, row) for key, row in islice(contents.items(), SLICE) if row is not None]
        is_last = len(some) == len(contents)
        if is_last:
            self._stored[target.table.number] = _after(load, chunk)
        return PutIn(
            target.table,
            [one for one in some if one[1][0] != REJECTED],
            _written(self._stored),
            is_last,
            [one for one in some if one[1][0] == REJECTED],
        )

    def took(self, chunk: LoadedChunk, put: PutIn) -> None:
        """That is in the state."""
        (contents,) = chunk.contents.values()
        for key, _ in (*put.rows, *put.rejected):
            del contents[key]

    def lacking(self, load: ActiveLoad) -> list[tuple[str, ...]]:
        """The keys of some rows that lack a value, now that all chunks are there.

        None of a source that has no rows: what shows such a value is rejected (`Reader`).
        """
        target = load.state
        assert target is not None  # noqa: S101 - as above
        if not load.relation.has_rows:
            return []
        return self._store.read(lambda batch: list(_keys_of_holes(target, batch)))

    def loaded(self, load: ActiveLoad) -> None:
        """All rows of the table are there, and all of their values."""
        target = load.state
        assert target is not None  # noqa: S101 - as above
        self._store.loaded(target.table.relation.qualified_name)
        self._stored.pop(target.table.number, None)


def _keys_of_holes(target: StateTarget, batch: Batch) -> Iterator[tuple[str, ...]]:
    for key in islice(batch.holes(target.table), MOST_KEYS):
        packed = target.table.row(batch.txn, key)
        assert packed is not None  # noqa: S101 - a hole goes with its row
        yield target.source_key(packed)


def _after(load: ActiveLoad, chunk: LoadedChunk) -> Load:
    """As it is once the chunk is in the state."""
    now = load.stored()
    if chunk.chunk is None:
        return now
    todo = merged(without(load.todo or (), chunk.chunk))
    return replace(now, todo=todo, rows=now.rows + chunk.rows)


def _written(stored: Mapping[int, Load]) -> bytes:
    return orjson.dumps({str(number): load for number, load in stored.items()})


def _read(progress: bytes) -> dict[int, Load]:
    found = orjson.loads(progress or b"{}")
    return {int(number): _load(parts) for number, parts in found.items()}


def _load(parts: dict[str, Any]) -> Load:
    todo = parts["todo"]
    return Load(
        **{
            **parts,
            "projections": tuple(parts["projections"]),
            "todo": None if todo is None else tuple(map(_chunk, todo)),
        }
    )


def _chunk(parts: dict[str, Any]) -> Chunk:
    places = {name: parts[name] and tuple(parts[name]) for name in ("first", "end")}
    return Chunk(**{**parts, **places})
