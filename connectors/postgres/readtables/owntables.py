"""Tables that the daemon keeps for itself beside the read tables: made when first needed."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg import sql

from connectors.postgres.ownmark import CHECKPOINT_TABLE, DEAD_LETTER_TABLE
from connectors.postgres.readtables.generations import MADE_MEANWHILE, make_schema

if TYPE_CHECKING:
    from connectors.postgres.session import Connection


@dataclass(frozen=True, slots=True)
class OwnTable:
    """Its name and what it holds."""

    name: str
    columns: str
    index: str = ""

    def ensure(self, connection: Connection, schema: str) -> None:
        """Make it unless it is there: who may make none may still use one."""
        if self.is_there(connection, schema):
            return
        make_schema(connection, schema)
        table = self.within(schema)
        with suppress(*MADE_MEANWHILE), connection.transaction():
            connection.execute(
                sql.SQL("create table if not exists {} ({})").format(table, sql.SQL(self.columns))
            )
            if self.index:
                connection.execute(
                    sql.SQL("create index on {} ({})").format(table, sql.SQL(self.index))
                )

    def is_there(self, connection: Connection, schema: str) -> bool:
        """Whether it has been made."""
        row = connection.execute(
            "select to_regclass(format('%%I.%%I', %s::text, %s::text)) is not null",
            [schema, self.name],
        ).fetchone()
        return row is not None and bool(row[0])

    def within(self, schema: str) -> sql.Identifier:
        """Its name in SQL."""
        return sql.Identifier(schema, self.name)


CHECKPOINTS: Final = OwnTable(
    CHECKPOINT_TABLE,
    "pipeline text primary key, format int not null, revision uuid not null, "
    "position bigint not null, stored_at timestamptz not null, checkpoint json not null",
)
DEAD_LETTERS: Final = OwnTable(
    DEAD_LETTER_TABLE,
    # json, not jsonb: it takes any text, an escaped zero byte too.
    "key text primary key, pipeline text not null, time timestamptz not null, "
    "position bigint not null, letter json not null",
    "pipeline, time desc",
)
