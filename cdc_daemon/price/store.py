"""What the strategies are compared on: two tables alike, and a read model of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, LiteralString

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from cdc_daemon.embedded import PostgresServer

PIPELINE: Final = "price"
DATABASE: Final = "price"
CALM: Final = "calm"
"""The read model with the usual freshness, for those who wait when they have to."""
PROMPT: Final = "prompt"
"""The one that is refreshed after every batch, whether anybody searches or not."""

CONFIGURATION: Final = f"""\
name: {PIPELINE}
source: {{type: postgres, dsn: "${{DATABASE_URL}}"}}
sink: {{type: opensearch, hosts: ["${{OPENSEARCH_URL}}"]}}
projections:
  {CALM}: {{from: public.{CALM}, fields: [id, version], freshness: 1s}}
  {PROMPT}: {{from: public.{PROMPT}, fields: [id, version], freshness: 0}}
consistency: {{strong: {{}}}}
state: {{path: "${{CDC_DAEMON_DATA}}"}}
web: {{listen: "${{CDC_DAEMON_LISTEN}}"}}
"""

_TABLE: Final[LiteralString] = "create table {} (id int primary key, version int not null)"
_ROWS: Final[LiteralString] = "insert into {} select id, 0 from generate_series(1, %s) id"


def create(server: PostgresServer, rows: int) -> str:
    """Create the database with its tables, each with so many rows; return how to connect."""
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
    dsn = server.dsn_of(DATABASE)
    with psycopg.connect(dsn) as connection:
        for name in (CALM, PROMPT):
            table = sql.Identifier(name)
            connection.execute(sql.SQL(_TABLE).format(table))
            connection.execute(sql.SQL(_ROWS).format(table), [rows])
    return dsn
