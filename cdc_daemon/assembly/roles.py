"""The rows of a table in one role of a plan: read from the state, and whether they count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly.lookup import NO_ORDER, Order, downwards
from cdc_daemon.assembly.reads import of_embedded
from cdc_daemon.errors import RejectedError
from cdc_daemon.events import UNCHANGED, Unreadable
from cdc_daemon.projection.rejection import left_out
from cdc_daemon.state import is_odd, unpacker, value_at
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    from cdc_daemon.events import Relation, Row
    from cdc_daemon.projection.joined.plan import Embed, Level, Step
    from cdc_daemon.state import Batch, View

    Reached: TypeAlias = "tuple[bytes, Row]"
    """A row, packed, and what expressions see of it."""

LACKING: Final = "lacking_value"
"""The reason why a row can't be read that the stream has left a value out of, until the source is
asked for it."""


class Reader:
    """The values of a table's rows in the order of its relation; only `columns` are looked at.

    Of columns that aren't kept each is `UNCHANGED`: nobody looks at them.
    """

    def __init__(self, relation: Relation, columns: Iterable[str], store: View) -> None:
        table = store.tables[relation]
        names = [column.name for column in relation.columns]
        places = [table.place(name) if table.keeps(name) else None for name in names]
        self._unpack = unpacker(len(names))
        self._places = None if places == list(range(len(places))) else places
        self._relation = relation
        read = set(columns)
        self._read = [(at, name) for at, name in enumerate(names) if name in read]

    def row(self, packed: bytes) -> Row:
        """The values. Raises RejectedError where one of `columns` isn't known."""
        if self._places is None:
            row = self._unpack(packed)
        else:
            row = [UNCHANGED if at is None else value_at(packed, at) for at in self._places]
        if is_odd(packed):
            self._require_readable(row)
        return row

    def _require_readable(self, row: Row) -> None:
        for at, name in self._read:
            value = row[at]
            if value is UNCHANGED:
                raise self._lacks(name)
            if isinstance(value, Unreadable):
                raise RejectedError(value.reason, f"column {name}: {value.explanation}")

    def _lacks(self, column: str) -> RejectedError:
        """It comes once the row is read from the source; if that has no rows, perhaps never."""
        if self._relation.has_rows:
            return RejectedError(LACKING, f"column {column}: the source has left its value out")
        return left_out(f"a value in column {column} of {self._relation.qualified_name}")


class LevelRows:
    """The rows of a level."""

    def __init__(self, level: Level, columns: Iterable[str], store: View) -> None:
        self._reader = Reader(level.relation, columns, store)
        self._where = None if level.where is None else level.where.test
        lenders = {each.embed: None for each in level.borrowed}
        embeds = [one for one in level.embeds if one.name in lenders]
        self._lenders = [Way(one, level, store) for one in embeds]
        places = {one.name: at for at, one in enumerate(embeds)}
        self._borrowed = [
            (places[each.embed], embeds[places[each.embed]].level.readable.index_of(each.column))
            for each in level.borrowed
        ]

    def counted(self, batch: Batch, packed: bytes) -> Row | None:
        """What expressions see: the row, and what is borrowed; None where `where` leaves it out.

        Raises RejectedError where that can't be told.
        """
        row = self._reader.row(packed)
        if self._borrowed:
            found = [next(way.rows(batch, packed), None) for way in self._lenders]
            row += [
                NULL if (lent := found[at]) is None else lent[1][place]
                for at, place in self._borrowed
            ]
        return row if self._where is None or self._where(row) else None

    def may_count(self, batch: Batch, packed: bytes) -> bool:
        """Whether `where` includes it, or can't be told."""
        if self._where is None:
            return True
        try:
            return self.counted(batch, packed) is not None
        except RejectedError:
            return True


class LinkRows:
    """The rows of a junction."""

    def __init__(self, step: Step, store: View) -> None:
        where = step.where
        self._where = None if where is None else where.test
        self._reader = Reader(step.relation, where.columns if where else (), store)

    def links(self, packed: bytes) -> bool:
        """Whether the row links. Raises RejectedError."""
        return self._where is None or self._where(self._reader.row(packed))

    def may_count(self, _batch: Batch, packed: bytes) -> bool:
        """Whether it does, or can't be told."""
        try:
            return self.links(packed)
        except RejectedError:
            return True


class Way:
    """The rows that belong to a row, by one embed."""

    def __init__(
        self,
        embed: Embed,
        above: Level,
        store: View,
        order: Order = NO_ORDER,
        *,
        all_at_once: bool = False,
    ) -> None:
        self._level = LevelRows(embed.level, of_embedded(embed, above), store)
        self._links = []
        near = above.relation
        for step in embed.steps[:-1]:
            self._links.append((downwards(step, near).bound(store), LinkRows(step, store)))
            near = step.relation
        self._find = downwards(embed.steps[-1], near, order).rows(store, all_at_once=all_at_once)

    def rows(self, batch: Batch, near: bytes) -> Iterator[Reached]:
        """Those that count, once for each path."""
        counted = self._level.counted
        for last in self._linked(batch, near, 0) if self._links else (near,):
            for packed in self._find(batch, last):
                row = counted(batch, packed)
                if row is not None:
                    yield packed, row

    def _linked(self, batch: Batch, near: bytes, at: int) -> Iterator[bytes]:
        if at == len(self._links):
            yield near
            return
        find, rows = self._links[at]
        for _, packed in find(batch, near):
            if rows.links(packed):
                yield from self._linked(batch, packed, at + 1)
