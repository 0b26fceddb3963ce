"""What is installed of an outbox, what is lacking, and how that is made right."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import errors, sql

from cdc_daemon.errors import RetryError, SourceError
from connectors.outbox.objects import (
    drop_objects,
    drop_trigger,
    objects,
    owner,
    row_trigger,
    row_trigger_statement,
    truncate_trigger,
    truncate_trigger_statement,
)
from connectors.postgres.database import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import ColumnType
    from connectors.outbox.noting import Noting
    from connectors.postgres.database import Candidate, Connection

LOCK_TIMEOUT_SECONDS: Final = 3
"""A trigger is made once nobody writes the table; who wants to meanwhile waits behind us."""
LOCK_ATTEMPTS: Final = 10
"""With a pause between them in which those writers go on."""
_PAUSE_SECONDS: Final = 1.0

_SCHEMA: Final = """
select n.oid::text, coalesce(obj_description(n.oid, 'pg_namespace'), ''),
       exists (select from pg_catalog.pg_class
               where relnamespace = n.oid and relname = 'read' and relkind = 'r')
from pg_catalog.pg_namespace n where n.nspname = %s
"""
_TRIGGERS: Final = """
select t.tgrelid::int8, format('%%I.%%I', n.nspname, c.relname), t.tgname::text,
       t.oid || ' ' || t.xmin, t.tgenabled = 'A', t.tgparentid <> 0
from pg_catalog.pg_trigger t
join pg_catalog.pg_proc p on p.oid = t.tgfoid
join pg_catalog.pg_namespace s on s.oid = p.pronamespace and s.nspname = %s
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where p.proname in ('note_row', 'note_truncate')
"""
# What a value becomes is then up to that cast, and nothing can tell the value from it.
_CAST_TO_JSON: Final = """
select format('%%I.%%I', n.nspname, c.relname), a.attname::text, format_type(a.atttypid, null)
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_type t on t.oid = a.atttypid
where a.attrelid = any(%s) and a.attnum > 0 and not a.attisdropped
  and coalesce(nullif(t.typelem, 0), t.oid) >= 16384
  and exists (select from pg_catalog.pg_cast
              where castsource = coalesce(nullif(t.typelem, 0), t.oid)
                and casttarget = 'json'::regtype and castmethod = 'f')
"""


_JSON: Final = frozenset({"json", "jsonb"})
_VECTORS: Final = frozenset({"int2vector", "oidvector"})
_OWNERS: Final = """
select format('%%I.%%I', n.nspname, c.relname), pg_get_userbyid(c.relowner)::text, ours.name
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
     lateral (select coalesce((
       select pg_get_userbyid(p.proowner)::text from pg_catalog.pg_proc p
       join pg_catalog.pg_namespace s on s.oid = p.pronamespace
       where s.nspname = %(schema)s and p.proname = 'note_row'), current_user::text)
     ) as ours (name)
where c.oid = any(%(oids)s) and pg_get_userbyid(c.relowner)::text <> ours.name
"""


class Trigger(NamedTuple):
    """One that is there."""

    table: int
    table_name: str
    """As SQL names it."""
    name: str
    version: str
    """Its number, and the transaction that altered it last: it may have been disabled meanwhile."""
    enabled: bool
    """Also for what is replicated (`enable always`)."""
    inherited: bool
    """That of a partition: made and dropped with the one of its table."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is there."""

    schema: str
    pipeline: str
    oid: str = ""
    """Of the schema; empty where there is none."""
    comment: str = ""
    is_there: bool = False
    """Whether there is an outbox in it, whatever triggers write into that."""
    triggers: Sequence[Trigger] = field(default_factory=list)

    def trigger(self, table: int, name: str) -> Trigger | None:
        """That of a table."""
        return next(
            (each for each in self.triggers if each[0] == table and each.name == name), None
        )

    def require_ours(self) -> None:
        """Raise SourceError where the schema belongs to somebody else."""
        if not self.oid or self.comment == owner(self.pipeline):
            return
        whose = self.comment or "it isn't an outbox of ours"
        raise SourceError(
            f"schema {self.schema} is there already, and not for the outbox of this pipeline "
            f"({whose}). Choose another name in source.schema"
        )


def find_installed(connection: Connection, schema: str, pipeline: str) -> Installed:
    """Look at schema and triggers."""
    with mapped_errors("look at the outbox"):
        found = connection.execute(_SCHEMA, [schema]).fetchone()
        lines = connection.execute(_TRIGGERS, [schema]).fetchall()
    if found is None:
        return Installed(schema, pipeline)
    oid, comment, is_there = found
    triggers = [Trigger(*line) for line in lines]
    return Installed(schema, pipeline, oid, comment, is_there, triggers)


def lacking(installed: Installed, noting: Noting) -> Iterator[str]:
    """Why changes of the tables would be missed."""
    if not installed.is_there:
        yield f"there is no outbox in schema {installed.schema}"
        return
    for candidate in noting.by_triggers:
        table = candidate.relation.qualified_name
        for name in (row_trigger(installed.schema), truncate_trigger(installed.schema)):
            found = installed.trigger(candidate.table.oid, name)
            if found is None:
                yield f"table {table} has no trigger {name}"
            elif not found.enabled:
                yield f"trigger {name} of table {table} is disabled, or not enabled always"
        for leaf in candidate.leaves:
            found = installed.trigger(leaf.oid, row_trigger(installed.schema))
            if found is not None and not found.enabled:
                yield (
                    f"trigger {found.name} of partition {leaf.schema}.{leaf.name} is disabled, or "
                    "not enabled always"
                )


def memberships(installed: Installed, noting: Noting) -> dict[str, str]:
    """How each table is followed: another text where changes may have been missed meanwhile."""
    found = {}
    if installed.is_there:
        for candidate in noting.by_applications:
            place = f"{installed.oid}/{candidate.table.oid}"
            found[candidate.relation.qualified_name] = f"outbox {place}/applications"
    for candidate in noting.by_triggers:
        of_rows = installed.trigger(candidate.table.oid, row_trigger(installed.schema))
        of_all = installed.trigger(candidate.table.oid, truncate_trigger(installed.schema))
        if of_rows is not None and of_all is not None:
            name = candidate.relation.qualified_name
            parts = (installed.oid, str(candidate.table.oid), of_rows.version, of_all.version)
            found[name] = f"outbox {'/'.join(parts)}"
    return found


def type_reasons(connection: Connection, candidate: Candidate) -> Iterator[str]:
    """Columns whose values can't be told from what the trigger notes of them, if mapped."""
    mapped = {column.name for column in candidate.relation.columns}
    with mapped_errors("read the types of columns"):
        found = connection.execute(_CAST_TO_JSON, [[candidate.table.oid]]).fetchall()
    unsayable = [
        (column, f"of type {type_name}, which has a cast to json of its own")
        for _, column, type_name in found
        if column in mapped
    ]
    unsayable.extend(
        (
            column.name,
            f"of type {column.type.declared}, an array that JSON doesn't tell from others",
        )
        for column in candidate.relation.columns
        if is_ambiguous(column.type)
    )
    for column, why in unsayable:
        yield (
            f"column {column} of table {candidate.relation.qualified_name} is {why}: its values "
            "can't be noted exactly. Leave the column out, or follow the database with "
            "source.type postgres"
        )


def is_ambiguous(type_: ColumnType) -> bool:
    """Whether it holds, at any depth, an array of what may be an array itself: of JSON, or of a
    domain over an array (as JSON it may have more dimensions); or an array that has none as JSON.
    """  # noqa: D205 - one sentence
    inner = [type_.element] if type_.element else []
    if type_.name in _VECTORS:
        return True
    if type_.kind == "array" and type_.element:
        base = type_.element.base
        if base.kind == "array" or base.name in _JSON:
            return True
    inner.extend(each for _, each in type_.attributes)
    return any(map(is_ambiguous, inner))


def key_reasons(candidate: Candidate) -> Iterator[str]:
    """Why old rows can't be told apart."""
    table, name = candidate.table, candidate.relation.qualified_name
    if table.identity == "full" or table.identity_columns:
        return
    if table.primary_key_deferrable:
        yield (
            f"the primary key of table {name} is deferrable: two rows may have one key until a "
            "statement ends, so changes don't tell which of them is left. Drop that constraint, "
            "and add the primary key again without DEFERRABLE"
        )
    else:
        quoted = sql.Identifier(table.schema, table.name).as_string()
        yield (
            f"table {name} has no primary key: deleted rows can't be told. Give it one, or run: "
            f"alter table {quoted} replica identity full"
        )


def steps(installed: Installed, noting: Noting, *, notify: bool) -> Iterator[str]:
    """The statements that make it right, each short: one a table, since tables are locked."""
    schema = installed.schema
    yield objects(schema, installed.pipeline, notify=notify)
    wanted = {candidate.table.oid for candidate in noting.by_triggers}
    for each in installed.triggers:
        if each.table not in wanted and not each.inherited:
            yield drop_trigger(each.name, each.table_name)
    for candidate in noting.by_triggers:
        yield from _steps_of_table(installed, candidate)


def _steps_of_table(installed: Installed, candidate: Candidate) -> Iterator[str]:
    schema = installed.schema
    oid, relation = candidate.table.oid, candidate.relation
    for name, statement in (
        (row_trigger(schema), row_trigger_statement),
        (truncate_trigger(schema), truncate_trigger_statement),
    ):
        found = installed.trigger(oid, name)
        if found is None:
            yield statement(schema, relation, oid)
        elif not found.enabled:
            table = _quoted(relation.schema, relation.name)
            yield _enable(table, name)
    for leaf in candidate.leaves:
        clone = installed.trigger(leaf.oid, row_trigger(schema))
        if clone is not None and not clone.enabled:
            yield _enable(clone.table_name, clone.name)


def owner_reasons(connection: Connection, installed: Installed, oids: Sequence[int]) -> list[str]:
    """Why it would be unsafe to have the outbox of the role that has it, or that is to install.

    The functions that note rows run as the role that made them, and they run what the owner of a
    table has made of a type (a cast to json): with the same rights, nobody gains any.
    """
    with mapped_errors("look who owns the tables"):
        values = {"schema": installed.schema, "oids": list(oids)}
        found = connection.execute(_OWNERS, values).fetchall()
    return [
        f"table {table} belongs to role {theirs}, and the functions that note its rows run with "
        f"the rights of {ours}. Install as the owner of the tables (--admin-dsn), or let somebody "
        "run what cdc-daemon outbox install --sql prints; tables of several owners need a "
        "pipeline, and a schema, each"
        for table, theirs, ours in found
    ]


def _enable(table: str, name: str) -> str:
    return f"alter table {table} enable always trigger {_quoted(name)};\n"


def _quoted(*name: str) -> str:
    return sql.Identifier(*name).as_string()


def run_steps(connection: Connection, statements: Sequence[str]) -> None:
    """Run each in a transaction of its own.

    Raises RetryError where a table isn't free of writers for so long, SourceError where the role
    may not.
    """
    for statement in statements:
        for attempt in range(LOCK_ATTEMPTS):
            try:
                _run(connection, statement)
                break
            except RetryError as error:
                if error.reason != "locked" or attempt + 1 == LOCK_ATTEMPTS:
                    raise
                time.sleep(_PAUSE_SECONDS)


def _run(connection: Connection, statement: str) -> None:
    try:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'".encode())
            connection.execute(statement.encode())
    except errors.LockNotAvailable as error:
        raise RetryError(
            f"a table isn't free of writers, so this couldn't be done: {statement.strip()} Look at "
            "pg_locks and pg_stat_activity who writes it, and run it again",
            reason="locked",
        ) from error
    except errors.InsufficientPrivilege as error:
        text = " ".join(str(error).split())
        raise SourceError(
            f"the role may not install the outbox: {text}. Let somebody run it who owns the tables "
            "and may create a schema: cdc-daemon outbox install --sql prints the statements"
        ) from error
    except errors.Error as error:
        with mapped_errors("install the outbox"):
            raise error from None


def removal(installed: Installed) -> Iterator[str]:
    """The statements that leave nothing behind."""
    for each in installed.triggers:
        if not each.inherited:
            yield drop_trigger(each.name, each.table_name)
    yield drop_objects(installed.schema)
