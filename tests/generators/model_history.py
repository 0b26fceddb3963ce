"""Random transactions over a world in memory, as the stream would bring them: many worlds a second.

Rows have a large value left out where it didn't change, and the old key only where that changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.events import UNCHANGED, Change, ChangeKind
from cdc_daemon.values import json_encoder
from tests.generators import worlds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from cdc_daemon.events import Relation, Value
    from tests.generators.worlds import Row, Table, World


class ModelHistory:
    """Goes on with `world.rows`, whose texts `written` makes what PostgreSQL writes."""

    def __init__(
        self,
        rng: Random,
        world: World,
        relations: Iterable[Relation],
        written: Callable[[str, str], str],
    ) -> None:
        self.rng, self.world = rng, world
        self._relations = {one.qualified_name: one for one in relations}
        self._tables = [one for one in world.tables if one.qualified in self._relations]
        self._written = written
        world.rows = {table.qualified: [] for table in world.tables}

    def transaction(self) -> list[Change]:
        """Some changes, one after the other."""
        count = self.rng.choice((1, 1, 2, 4, 10))
        return [change for _ in range(count) for change in self._changes()]

    def rows(self, relation: Relation) -> list[dict[str, bytes]]:
        """The rows of a table, as the stream has them."""
        names = [column.name for column in relation.columns]
        found = self.world.rows[relation.qualified_name]
        return [dict(zip(names, self._json(relation, row), strict=True)) for row in found]  # type: ignore[arg-type]  # whole rows

    def _changes(self) -> list[Change]:
        table = self.rng.choice(self._tables)
        rows = self.world.rows[table.qualified]
        action = self.rng.random()
        if not rows or action < 0.4 - 0.03 * len(rows):
            return self._insert(table)
        row = self.rng.choice(rows)
        if action < 0.72:
            new = self._row(table)
            names = self.rng.sample(sorted(new), self.rng.randint(0, len(new)))
            return self._update(table, row, {name: new[name] for name in names})
        if action < 0.85:
            return self._update(table, row, self._key(table))
        if action < 0.98:
            rows.remove(row)
            return [self._change(table, ChangeKind.DELETE, None, row)]
        rows.clear()
        return [Change(self._relations[table.qualified], ChangeKind.TRUNCATE)]

    def _insert(self, table: Table) -> list[Change]:
        row = self._key(table) | self._row(table)
        if self._is_refused(table, row, None):
            return []
        self.world.rows[table.qualified].append(row)
        return [self._change(table, ChangeKind.INSERT, row, None)]

    def _update(self, table: Table, row: Row, values: Row) -> list[Change]:
        if self._is_refused(table, row | values, row):
            return []
        old = dict(row)
        row.update(values)
        moved = any(row[name] != old[name] for name in table.key)
        change = self._change(table, ChangeKind.UPDATE, row, old if moved else None)
        new = change.new
        assert new is not None
        for at, column in enumerate(change.relation.columns):
            same = row[column.name] == old[column.name]
            if column.out_of_line and same and not column.in_identity and self.rng.random() < 0.3:
                new[at] = UNCHANGED
                change.has_unchanged = True
        return [change]

    def _change(self, table: Table, kind: ChangeKind, new: Row | None, old: Row | None) -> Change:
        relation = self._relations[table.qualified]
        key = None if old is None else {name: old[name] for name in table.key}
        rows = [None if one is None else self._json(relation, one) for one in (new, key)]
        return Change(relation, kind, rows[0], rows[1])

    def _json(self, relation: Relation, row: Row) -> list[Value]:
        found: list[Value] = []
        for column in relation.columns:
            text = row.get(column.name)
            encode = json_encoder(column.type) or bytes
            found.append(b"null" if text is None else encode(text.encode()))
        return found

    def _row(self, table: Table) -> Row:
        others = self.world.rows[table.qualified]
        return self._as_written(table, worlds.random_row(self.rng, self.world, table, others))

    def _key(self, table: Table) -> Row:
        key: Row = dict(zip(table.key, worlds.random_key(self.rng, table), strict=True))
        return self._as_written(table, key)

    def _as_written(self, table: Table, row: Row) -> Row:
        types = {column.name: column.type for column in table.columns}
        return {
            name: None if text is None else self._written(types[name], text)
            for name, text in row.items()
            if set(row) <= set(table.key) or name not in table.key
        }

    def _is_refused(self, table: Table, row: Row, before: Row | None) -> bool:
        """Whether another row has the same key, or refers to the same row where only one may."""
        others = [one for one in self.world.rows[table.qualified] if one is not before]
        unique = [table.key, *(one.columns for one in table.references if one.unique)]
        return any(_is_taken(columns, row, others) for columns in unique)


def _is_taken(columns: tuple[str, ...], row: Row, others: list[Row]) -> bool:
    values = [row[name] for name in columns]
    return None not in values and any([one[name] for name in columns] == values for one in others)
