"""What is in the schema of read tables, and what the comments of ours say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from psycopg import sql

from connectors.postgres.ownmark import READ_MODEL, READ_TABLE
from connectors.postgres.readtables.columns import OWN, Column

if TYPE_CHECKING:
    from connectors.postgres.session import Connection

TABLE: Final = "r"
VIEW: Final = "v"

_LOOK: Final = """
select c.oid, c.relkind::text, obj_description(c.oid, 'pg_class')
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = %s
"""
# Those that somebody has added and that PostgreSQL fills are not ours to write.
_COLUMNS: Final = """
select attname::text, format_type(atttypid, atttypmod) from pg_catalog.pg_attribute
where attrelid = %s and attnum > 0 and not attisdropped and attgenerated = ''
order by attnum
"""


class Found(NamedTuple):
    """A relation of some name."""

    oid: int
    kind: str
    """As `pg_class.relkind`."""
    says: dict[str, Any]
    """What we have noted in its comment; empty where it isn't ours."""

    @property
    def mark(self) -> str | None:
        """Tells a generation from all others; None where it is none, or was given up.

        With its number: a table that was restored from a dump has another one.
        """
        is_there = self.kind == TABLE and "uuid" in self.says and not self.says.get("dropped")
        return f"{self.says['uuid']}/{self.oid}" if is_there else None

    def uuid(self, history: str) -> str | None:
        """The mark, and the history that the server is in.

        After a failover it is another generation: the standby may lack what was durable before.
        """
        return None if self.mark is None else f"{self.mark}/{history}"


def find(connection: Connection, schema: str, name: str) -> Found | None:
    """What has that name, if anything."""
    row = connection.execute(_LOOK, [schema, name]).fetchone()
    if row is None:
        return None
    oid, kind, comment = row
    return Found(oid, kind, _said(comment or ""))


def _said(comment: str) -> dict[str, Any]:
    for mark in (READ_TABLE, READ_MODEL):
        if comment.startswith(mark):
            said: dict[str, Any] = orjson.loads(comment[len(mark) :])
            return said
    return {}


def table_comment(says: dict[str, Any]) -> sql.Literal:
    """The comment of a generation."""
    return sql.Literal(READ_TABLE + orjson.dumps(says).decode())


def view_comment(says: dict[str, Any]) -> sql.Literal:
    """The comment of the view that is searched."""
    return sql.Literal(READ_MODEL + orjson.dumps(says).decode())


def field_columns(connection: Connection, oid: int) -> tuple[Column, ...]:
    """The columns of a table or view that show fields, in their order."""
    rows = connection.execute(_COLUMNS, [oid]).fetchall()
    return tuple(Column(*row) for row in rows if row[0] not in OWN)
