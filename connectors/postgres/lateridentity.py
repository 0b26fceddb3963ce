"""What somebody may do to a table later so that its UPDATE and DELETE fail: told beforehand.

Once a table is published PostgreSQL refuses them where a replica identity is lacking. What is there
is refused before that; nobody asks us about what is made later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connectors.postgres.catalog import Table
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

VIRTUAL_VERSION: Final = 180000
"""From here on columns can be virtual, and are where nothing else is said."""


class Later(NamedTuple):
    """Something that would make UPDATE and DELETE fail."""

    table: str
    why: str
    sql: str
    """How to do it instead."""

    @property
    def message(self) -> str:
        """All of it, for people."""
        return f"{self.why}. Instead: {self.sql}"


def later_ones(connection: Connection, table: Table, leaves: Sequence[Table]) -> Iterator[Later]:
    """Of a table whose identity is usable now; `leaves`: the partitions that hold its rows."""
    name = sql.Identifier(table.schema, table.name).as_string(connection)
    if table.kind == "partitioned" and (not table.primary_key or table.primary_key_deferrable):
        yield Later(
            f"{table.schema}.{table.name}",
            "partitions inherit no replica identity, and it has no primary key that they would "
            "get: on a partition that is made later UPDATE and DELETE fail from the beginning, "
            "since its table is published",
            f"begin; create table PARTITION partition of {name} ...; alter table PARTITION replica "
            "identity full; commit",
        )
    may_be_virtual = connection.info.server_version >= VIRTUAL_VERSION
    if may_be_virtual and any(each.identity == "full" for each in leaves or [table]):
        yield Later(
            f"{table.schema}.{table.name}",
            "it has replica identity full, which can't hold a virtual generated column: once one "
            "is added (that is what PostgreSQL 18 makes where nothing else is said), its UPDATE "
            "and DELETE fail",
            f"alter table {name} add COLUMN TYPE generated always as (...) stored",
        )


def warn_of_later(connection: Connection, table: Table, leaves: Sequence[Table]) -> None:
    """Say it in the log."""
    for later in later_ones(connection, table, leaves):
        log.warning("identity_lost_later", table=later.table, why=later.why, sql=later.sql)
