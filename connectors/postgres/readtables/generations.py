"""Makes, publishes and drops the generations of read models: tables, and the view over one."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog
from psycopg import errors, sql

from cdc_daemon.errors import SinkError
from cdc_daemon.events import Generation
from connectors.postgres.readtables.columns import OWN, columns_of
from connectors.postgres.readtables.ddl import add_columns, table_statements, view_statement
from connectors.postgres.readtables.grants import grant_again, grants_on
from connectors.postgres.readtables.relations import (
    TABLE,
    VIEW,
    Found,
    field_columns,
    find,
    table_comment,
    view_comment,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.ports import ReadModel
    from connectors.postgres.readtables.server import Server
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 5
"""How often another creator may take the next number before us."""
MADE_MEANWHILE: Final = (errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable)
"""What two who make the same thing at once may get, `if not exists` or not."""
LOCK_TIMEOUT: Final = "1s"
"""While we wait for a view that a long query reads, new queries of it wait behind us."""

_NAMES: Final = """
select c.relname::text from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and starts_with(c.relname, %s)
"""


def create_generation(server: Server, model: ReadModel, *, pipeline: str) -> Generation:
    """Make a new, empty table `NAME_000001` (the next free number) that nobody searches yet."""
    says = {"pipeline": pipeline, "projection": model.name, "uuid": uuid4().hex}
    with server.session("make a read table") as connection:
        make_schema(connection, server.schema)
        for _ in range(ATTEMPTS):
            index = _next_name(connection, server.schema, model.name)
            try:
                mark = _create(connection, sql.Identifier(server.schema, index), model, says)
            except errors.DuplicateTable:
                continue
            uuid = f"{mark}/{server.history}"
            return Generation(model.name, index, uuid, model.fingerprint, model.digests)
    raise SinkError(f"Another process keeps creating generations of {model.name!r}: stop it first.")


def make_schema(connection: Connection, schema: str) -> None:
    """Where read tables are. Asked for first: who may make none may still use one."""
    found = connection.execute("select to_regnamespace(quote_ident(%s))", [schema])
    if found.fetchone() == (None,):
        statement = sql.SQL("create schema if not exists {}").format(sql.Identifier(schema))
        with suppress(*MADE_MEANWHILE), connection.transaction():
            connection.execute(statement)


def _create(
    connection: Connection, table: sql.Identifier, model: ReadModel, says: dict[str, str]
) -> str:
    with connection.transaction():
        for statement in table_statements(table, model):
            connection.execute(statement)
        connection.execute(
            sql.SQL("comment on table {} is {}").format(table, table_comment(dict(says)))
        )
        row = connection.execute("select %s::regclass::oid", [table.as_string(connection)])
        [(oid,)] = row
    return f"{says['uuid']}/{oid}"


def _next_name(connection: Connection, schema: str, name: str) -> str:
    pattern = re.compile(rf"{re.escape(name)}_(\d{{6,}})")
    names = connection.execute(_NAMES, [schema, f"{name}_"]).fetchall()
    numbers = [int(found[1]) for (each,) in names if (found := pattern.fullmatch(each))]
    return f"{name}_{max(numbers, default=0) + 1:06d}"


def extend_generation(server: Server, generation: Generation, model: ReadModel) -> bool:
    """Add the columns that the table lacks; False where one of that name has another type there."""
    with server.session("add columns to a read table") as connection, connection.transaction():
        found = find(connection, server.schema, generation.index)
        if found is None or found.uuid(server.history) != generation.uuid:
            return False
        there = {column.name: column.type for column in field_columns(connection, found.oid)}
        wanted = columns_of(model)
        if any(there.get(column.name, column.type) != column.type for column in wanted):
            return False
        if lacking := [column for column in wanted if column.name not in there]:
            _wait_briefly(connection)
            table = sql.Identifier(server.schema, generation.index)
            connection.execute(add_columns(table, lacking))
    return True


def publish(server: Server, generation: Generation, *, pipeline: str) -> list[str]:
    """Let the view show `generation`, in one transaction: no query sees two or none.

    Returns the table of `pipeline` that it showed until now: nobody else's may be dropped.
    """
    schema, name = server.schema, generation.projection
    with server.session(f"show a read table in the view {name}") as connection:
        found = find(connection, schema, name)
        require_view(schema, name, found)
        table = find(connection, schema, generation.index)
        if table is None or table.uuid(server.history) != generation.uuid:
            raise SinkError(gone(schema, generation.index))
        before = found.says.get("index") if found is not None else None
        if before != generation.index or not _shows_all(connection, found, table):
            with connection.transaction():
                _wait_briefly(connection)
                _replace_view(connection, schema, generation, table, found)
                says = {"pipeline": pipeline, "index": generation.index}
                view = sql.Identifier(schema, name)
                connection.execute(
                    sql.SQL("comment on view {} is {}").format(view, view_comment(dict(says)))
                )
        is_ours = found is not None and found.says.get("pipeline") == pipeline
        return [before] if is_ours and before and before != generation.index else []


def require_view(schema: str, name: str, found: Found | None) -> None:
    """Raise SinkError if what has the read model's name isn't a view of ours."""
    if found is not None and (found.kind != VIEW or "index" not in found.says):
        raise SinkError(
            f"{schema}.{name} is there and is no read model, so the read model {name!r} can't have "
            "a view of that name. Rename the projection or that relation, or use another `schema`."
        )


def gone(schema: str, index: str) -> str:
    """What is said when a table isn't there any more, or isn't what it was."""
    return (
        f"the table {schema}.{index} was dropped, replaced or altered under us. Run drop table if "
        f'exists "{schema}"."{index}" cascade, and restart the daemon to build it again'
    )


def _shows_all(connection: Connection, view: Found | None, table: Found) -> bool:
    return view is not None and field_columns(connection, view.oid) == field_columns(
        connection, table.oid
    )


def _replace_view(
    connection: Connection, schema: str, generation: Generation, table: Found, view: Found | None
) -> None:
    """In its place while its columns stay, or more are added behind them: what depends on it stays.

    Otherwise it is dropped and made again, with the rights on it, and on its columns that stay.
    """
    name = sql.Identifier(schema, generation.projection)
    columns = field_columns(connection, table.oid)
    statement = view_statement(name, sql.Identifier(schema, generation.index), columns)
    try:
        with connection.transaction():
            connection.execute(statement)
    except errors.InvalidTableDefinition:
        grants = [] if view is None else grants_on(connection, view.oid)
        _drop_view(connection, schema, generation.projection, name)
        connection.execute(statement)
        grant_again(connection, name, grants, (*OWN, *(column.name for column in columns)))


def _drop_view(connection: Connection, schema: str, name: str, view: sql.Identifier) -> None:
    try:
        connection.execute(sql.SQL("drop view if exists {}").format(view))
    except errors.DependentObjectsStillExist as error:
        raise SinkError(
            f"The view {schema}.{name} must be made anew, because the columns of the read model "
            f"have changed, and others depend on it: {error.diag.message_detail}. Drop them (drop "
            "view ...), start again, and make them again."
        ) from error


def drop_generation(server: Server, generation: Generation) -> None:
    """Drop the table; quiet if it is gone, or if its name belongs to another one by now.

    One that a query still reads, or that others depend on, is only marked: it isn't found any more,
    and goes with one of the next.
    """
    with server.session("drop a read table") as connection:
        found = find(connection, server.schema, generation.index)
        if found is not None and _is_of(found, generation):
            _drop(connection, server.schema, generation.index, found)
        for index in _marked(connection, server.schema, generation.projection):
            left = find(connection, server.schema, index)
            if left is not None and left.kind == TABLE and left.says.get("dropped"):
                _drop(connection, server.schema, index, left)


def _is_of(found: Found, generation: Generation) -> bool:
    """Whether it is that table, in whatever history."""
    return found.mark is not None and generation.uuid.startswith(f"{found.mark}/")


def _drop(connection: Connection, schema: str, index: str, found: Found) -> None:
    table = sql.Identifier(schema, index)
    try:
        with connection.transaction():
            _wait_briefly(connection)
            connection.execute(sql.SQL("drop table {}").format(table))
    except (errors.LockNotAvailable, errors.DependentObjectsStillExist):
        says = {**found.says, "dropped": True}
        connection.execute(sql.SQL("comment on table {} is {}").format(table, table_comment(says)))
        log.info("read_table_in_use", table=f"{schema}.{index}")
    except errors.UndefinedTable:
        return


def _marked(connection: Connection, schema: str, name: str) -> list[str]:
    pattern = re.compile(rf"{re.escape(name)}_\d{{6,}}")
    names = connection.execute(_NAMES, [schema, f"{name}_"]).fetchall()
    return [each for (each,) in names if pattern.fullmatch(each)]


def find_uuid(server: Server, index: str) -> str | None:
    """The UUID of a generation's table; None if there is none of that name."""
    with server.session("look for a read table") as connection:
        found = find(connection, server.schema, index)
    return None if found is None else found.uuid(server.history)


def is_shown(server: Server, projection: str) -> bool:
    """Whether a view of ours has the read model's name."""
    with server.session("look for the view of a read model") as connection:
        found = find(connection, server.schema, projection)
    return found is not None and "index" in found.says


def require_tables(server: Server, indices: Sequence[str]) -> None:
    """Raise SinkError unless all of these tables are there."""
    with server.session("look for read tables") as connection:
        for index in indices:
            found = find(connection, server.schema, index)
            if found is None or found.mark is None:
                raise SinkError(gone(server.schema, index))


def _wait_briefly(connection: Connection) -> None:
    connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
