"""Finds what would not work before anything is made: server, rights, names, types, indexes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from cdc_daemon.errors import SinkError
from connectors.postgres.dsn import IDENTIFIER_BYTES
from connectors.postgres.ownmark import OWN_TABLES
from connectors.postgres.readtables.ddl import table_statements
from connectors.postgres.readtables.errors import POISON, mapped_errors
from connectors.postgres.readtables.generations import make_schema, require_view
from connectors.postgres.readtables.relations import find
from connectors.postgres.session import is_transient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.ports import ReadModel
    from connectors.postgres.session import Connection

OLDEST_VERSION: Final = 140000
"""As the source takes them; tested on 15, 16 and 18."""
NAME_BYTES: Final = IDENTIFIER_BYTES - len("_000001")
_TRIAL: Final = "cdc_daemon_trial"
_GENERATION: Final = re.compile(r".*_\d{6,}")

_RIGHTS: Final = """
select current_database()::text, current_user::text, n.oid is not null,
       has_database_privilege(current_database(), 'create'),
       coalesce(has_schema_privilege(n.oid, 'create, usage'), false)
from (select to_regnamespace(quote_ident(%s)) as oid) n
"""


def preflight(
    connection: Connection, schema: str, models: Sequence[ReadModel], *, pipeline: str
) -> None:
    """Check everything; what is tried is rolled back. Raises SinkError."""
    require_server(connection)
    require_rights(connection, schema)
    for model in models:
        check_model(connection, schema, model, pipeline=pipeline)


def require_server(connection: Connection) -> None:
    """Raise SinkError if it is too old."""
    version = connection.info.server_version
    if version < OLDEST_VERSION:
        raise SinkError(
            f"The sink's server is PostgreSQL {version // 10000}; read tables need 14 or later."
        )


def require_rights(connection: Connection, schema: str) -> None:
    """Raise SinkError where the role can't make tables there, with the SQL that mends it."""
    with mapped_errors("look at the rights on the schema"):
        row = connection.execute(_RIGHTS, [schema]).fetchone()
    if row is None:
        return
    database, user, is_there, may_make, may_use = row
    name, role = (sql.Identifier(each).as_string(connection) for each in (schema, user))
    if not is_there and not may_make:
        raise SinkError(
            f"There is no schema {schema} in database {database}, and the role {user} may not make "
            f"one. Run as the owner of the database: create schema {name} authorization {role}"
        )
    if is_there and not may_use:
        raise SinkError(
            f"The role {user} may not make tables in the schema {schema}. Run as its owner: grant "
            f"usage, create on schema {name} to {role}"
        )


def check_model(connection: Connection, schema: str, model: ReadModel, *, pipeline: str) -> None:
    """Check one read model; what is tried is rolled back. Raises SinkError."""
    _check_name(model.name)
    _check_owner(connection, schema, model.name, pipeline)
    _try_table(connection, schema, model)


def _check_name(name: str) -> None:
    if len(name.encode()) > NAME_BYTES or _GENERATION.fullmatch(name) or name in OWN_TABLES:
        raise SinkError(
            f"{name!r} can't be the name of a read table: its generations are called {name}_000001 "
            f"and so on. Use a name of at most {NAME_BYTES} bytes that doesn't end like one of "
            "those, and that isn't one of the daemon's own tables."
        )


def _check_owner(connection: Connection, schema: str, name: str, pipeline: str) -> None:
    with mapped_errors("look for a read model"):
        found = find(connection, schema, name)
    require_view(schema, name, found)
    if found is not None and found.says["pipeline"] != pipeline:
        view = sql.Identifier(schema, name).as_string(connection)
        raise SinkError(
            f"The view {schema}.{name} belongs to pipeline {found.says['pipeline']!r}, and one "
            "read model belongs to one pipeline. Rename the projection, use another `schema`, or "
            f"remove the view: drop view {view}"
        )


def _try_table(connection: Connection, schema: str, model: ReadModel) -> None:
    """Let the server judge types and indexes: the table is made, and never committed."""
    try:
        with connection.transaction(force_rollback=True):
            make_schema(connection, schema)
            for statement in table_statements(sql.Identifier(schema, _TRIAL), model):
                connection.execute(statement)
    except psycopg.Error as error:
        if is_transient(error) and not isinstance(error, POISON):
            raise
        raise SinkError(
            f"PostgreSQL does not take the table of read model {model.name!r}: "
            f"{' '.join(str(error).split())}. Check `fields` and `indexes`."
        ) from error
