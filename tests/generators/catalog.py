"""What PostgreSQL knows of a random world, for tests that make its rows themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cdc_daemon.ports import TableRequest
from connectors.postgres.catalog import describe
from tests.generators import worlds

if TYPE_CHECKING:
    import psycopg

    from cdc_daemon.events import Relation


class Catalog:
    """What PostgreSQL knows of tables and writes of values; nothing is left in it."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._written: dict[tuple[str, str], str] = {}

    def relations(self, world: worlds.World) -> dict[str, Relation]:
        """The whole tables."""
        names = [table.qualified for table in world.tables]
        with self._connection.transaction(force_rollback=True):
            for statement in world.ddl:
                self._connection.execute(statement.encode())
            found = describe(self._connection, [TableRequest(name) for name in names])
        return dict(zip(names, found, strict=True))

    def written(self, type_: str, text: str) -> str:
        """A value as PostgreSQL writes it."""
        if type_ in worlds.OWN:
            return text
        if (type_, text) not in self._written:
            query = f"select cast(%s as {type_})"
            result = self._connection.execute(query.encode(), [text]).pgresult
            assert result is not None
            value = result.get_value(0, 0)
            assert value is not None
            self._written[type_, text] = value.decode()
        return self._written[type_, text]
