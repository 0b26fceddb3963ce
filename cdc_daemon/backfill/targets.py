"""What the rows of a load become: documents of an index, or rows of the state.

Workers make it, in their threads; the window knows each by its id or its key.
"""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Protocol

from cdc_daemon.errors import RejectedError, StopError
from cdc_daemon.events import PartlyUnreadable
from cdc_daemon.projection.hole import hole, read_key
from cdc_daemon.projection.rejection import rejection
from cdc_daemon.state import identity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cdc_daemon.backfill.window import Transaction
    from cdc_daemon.events import Relation, Row
    from cdc_daemon.projection.flat import FlatProjection
    from cdc_daemon.state import Staged, Table

Contents = dict[bytes, bytes | None]
"""Id or key to document or row, or why there can't be one; None where there is to be none."""


class Target(Protocol):
    """What takes rows."""

    @property
    def projections(self) -> tuple[str, ...]:
        """The read models that it is for."""

    def contents(self, rows: Sequence[Row], *, every: bool) -> Contents:
        """What becomes of rows; `every`: also of those that `where` leaves out."""


class IndexTarget:
    """Rows become documents of an index."""

    def __init__(self, projection: FlatProjection) -> None:
        self._projection = projection

    @property
    def projections(self) -> tuple[str, ...]:
        """The one that makes the documents."""
        return (self._projection.name,)

    def contents(self, rows: Sequence[Row], *, every: bool) -> Contents:
        """Documents by id."""
        return (contents_of if every else documents_of)(self._projection, rows)


class StateTarget:
    """Rows become rows of the state."""

    def __init__(self, table: Table, projections: Sequence[str]) -> None:
        self.table = table
        self.projections = tuple(projections)
        self.key = identity_of(table.relation)
        """By these columns a row is read that lacks a value."""

    def contents(self, rows: Sequence[Row], *, every: bool) -> Contents:  # noqa: ARG002 - the state keeps every row
        """Packed rows by key."""
        odd = isinstance(rows, PartlyUnreadable)
        load = self._load_odd if odd else self.table.load
        return dict(load(row, odd=odd) for row in rows)

    def _load_odd(self, row: Row, *, odd: bool) -> tuple[bytes, bytes]:
        try:
            return self.table.load(row, odd=odd)
        except RejectedError as error:
            digest = hashlib.sha256(repr(row).encode()).hexdigest()
            return b'"row without key %b"' % digest.encode(), rejection(
                error, self.table.relation, row
            )

    def source_key(self, packed: bytes) -> tuple[str, ...]:
        """The key of a row as the source's text. Raises StopError where that isn't known."""
        relation = self.table.relation
        columns = [relation.columns[relation.index_of(name)] for name in self.key]
        if any(column.protection is not None for column in columns):
            raise StopError(_protected(relation))
        values = self.table.key_values(packed)
        return read_key(hole(zip(columns, values, strict=True)))  # type: ignore[arg-type]  # JSON


def state_name(number: int) -> str:
    """What the window knows the rows of a table of the state by: no index has such a name."""
    return f"state {number}"


def note_touched(staged: Staged, window: Transaction, loading: Collection[str]) -> None:
    """Note the rows that a transaction touches of the tables of the state that are loading."""
    for segment in staged.segments():
        for number, changes in segment.items():
            name = state_name(number)
            if name not in loading:
                continue
            if changes.truncated:
                window.truncated(name)
            deque(window.touching(name, changes.rows.items()), maxlen=0)


def _protected(relation: Relation) -> str:
    table = relation.qualified_name
    return (
        f"an update of {table} left out a value that PostgreSQL stores out of line (TOAST) and did "
        "not change. Such a row is read by its key, but a rule of source.columns protects the key. "
        f"Run: alter table {table} replica identity full; and start again"
    )


def contents_of(projection: FlatProjection, rows: Sequence[Row]) -> Contents:
    """Id to content of every row; None where `where` leaves it out."""
    contents: Contents = dict.fromkeys(map(projection.id_of_any, rows))
    return {**contents, **documents_of(projection, rows)}


def documents_of(projection: FlatProjection, rows: Sequence[Row]) -> Contents:
    """Id to document of every row that has one, or to why it can't be one."""
    unreadable = isinstance(rows, PartlyUnreadable)
    load_row = projection.load_partly_unreadable if unreadable else projection.load
    return dict(content for row in rows if (content := load_row(row)) is not None)
