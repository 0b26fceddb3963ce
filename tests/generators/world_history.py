"""Random transactions over a world in a real PostgreSQL: what the server refuses is left out.

Rows are inserted, changed, moved to other parents, given other keys, swapped and deleted; tables
are truncated. Some texts are so long that they are stored out of line, and left out of updates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators import worlds
from tests.generators.json_meaning import parse
from tests.generators.pg_values import literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from tests.generators.worlds import Row, Table, World

Connection = psycopg.Connection[tuple[Any, ...]]

BEFORE = "savepoint it"
CHECKED = "set constraints all immediate; set constraints all deferred; release it"
"""Sent with the statement: a round trip for each costs more than what the server does."""
LONG = 2_500
"""Characters that aren't kept in line."""


class WorldHistory:
    """Goes on with one world; `world.rows` is what the server has after each transaction."""

    def __init__(self, rng: Random, world: World, connection: Connection) -> None:
        self.rng, self.world, self._connection = rng, world, connection

    def begin(self) -> None:
        """Make the tables; long texts are stored as they are."""
        for statement in self.world.ddl:
            self._connection.execute(statement.encode())
        for table in self.world.tables:
            self.world.rows[table.qualified] = []
            for column in table.columns:
                if column.type == "text" and not table.partitioned:
                    self._connection.execute(
                        f"alter table {table.sql} alter column {worlds.quoted(column.name)}"
                        " set storage external".encode()
                    )

    def end(self) -> None:
        """Drop all."""
        for statement in self.world.drop:
            self._connection.execute(statement.encode())

    def transact(self, *also: str) -> list[str]:
        """One transaction, which runs `also`, too; return its statements."""
        statements = self.draw()
        with self._connection.transaction():
            done = self.perform([*statements, *also])
        self.look()
        return done

    def draw(self) -> list[str]:
        """The statements of a transaction, for the rows as they were looked at last."""
        return [
            statement
            for _ in range(self.rng.choice((1, 1, 2, 4, 10)))
            for statement in self._statements()
        ]

    def perform(self, statements: Iterable[str]) -> list[str]:
        """Run them in the transaction that is open; return those that the server has not refused.

        Raises OperationalError where the server is gone.
        """
        done = []
        for statement in statements:
            try:
                self._connection.execute(f"{BEFORE}; {statement}; {CHECKED}".encode())
                done.append(statement)
            except psycopg.Error:
                if self._connection.broken:
                    raise
                self._connection.execute(b"rollback to it; release it")
        return done

    def documents(self, statement: str) -> dict[str, Any]:
        """The documents that the oracle's statement gives, by id."""
        found = f"select id, document::text from ({statement}) d"
        return {key: parse(text) for key, text in self._connection.execute(found.encode())}

    def look(self) -> None:
        """See which rows there are."""
        for table in self.world.tables:
            names = [column.name for column in table.columns]
            texts = ", ".join(f"{worlds.quoted(name)}::text" for name in names)
            rows = self._connection.execute(f"select {texts} from {table.sql} order by 1".encode())
            self.world.rows[table.qualified] = [dict(zip(names, row, strict=True)) for row in rows]

    def _statements(self) -> list[str]:
        table = self.rng.choice(self.world.tables)
        rows = self.world.rows[table.qualified]
        action = self.rng.random()
        if not rows or action < 0.4 - 0.03 * len(rows):
            return [self._insert(table)]
        if action < 0.72:
            return [self._update(table, self.rng.choice(rows))]
        if action < 0.8:
            return [self._rekey(table, self.rng.choice(rows))]
        if action < 0.85:
            return self._swap(table, *self.rng.choices(rows, k=2))
        if action < 0.98:
            return [f"delete from {table.sql} where {self._is(table, self.rng.choice(rows))}"]
        return [f"truncate {table.sql}{self.rng.choice(('', ' cascade'))}"]

    def _insert(self, table: Table) -> str:
        return worlds.insert(table, self._key(table) | self._row(table))

    def _key(self, table: Table) -> Row:
        return dict(zip(table.key, worlds.random_key(self.rng, table), strict=True))

    def _row(self, table: Table) -> Row:
        row = worlds.random_row(self.rng, self.world, table, self.world.rows[table.qualified])
        for column in table.columns:
            if column.type == "text" and column.name in row and self.rng.random() < 0.2:
                row[column.name] = self.rng.choice("xyz") * LONG
        return {name: value for name, value in row.items() if name not in table.key}

    def _update(self, table: Table, row: Row) -> str:
        new = self._row(table)
        names = self.rng.sample(sorted(new), self.rng.randint(1, len(new))) if new else []
        return self._set(table, row, {name: new[name] for name in names} or {table.key[0]: "1"})

    def _rekey(self, table: Table, row: Row) -> str:
        return self._set(table, row, self._key(table))

    def _swap(self, table: Table, one: Row, other: Row) -> list[str]:
        """By a third key: no two rows have one key at any time."""
        keys = [{name: row[name] for name in table.key} for row in (one, other)]
        aside = self._key(table)
        return [
            self._set(table, one, aside),
            self._set(table, other, keys[0]),
            self._set(table, aside, keys[1]),
        ]

    def _set(self, table: Table, row: Row, values: Row) -> str:
        sets = ", ".join(f"{worlds.quoted(name)} = {_sql(value)}" for name, value in values.items())
        return f"update {table.sql} set {sets} where {self._is(table, row)}"

    @staticmethod
    def _is(table: Table, row: Row) -> str:
        return " and ".join(f"{worlds.quoted(name)} = {_sql(row[name])}" for name in table.key)


def _sql(value: str | None) -> str:
    return "null" if value is None else literal(value)
