"""What is installed in the database: the outbox, the journal of its reader, and triggers. Pure.

Nothing here names a column of the application's: whatever becomes of its tables, its statements
never fail because of the triggers. Names inside the rows say what was a column when it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from connectors.postgres.ownmark import OUTBOX

if TYPE_CHECKING:
    from cdc_daemon.events import Relation

PARTS: Final = 4
"""Parts of the outbox: one is written, the others are emptied at once when all of each is read."""
PART_CHANGES: Final = 65_536
"""Changes in a part before the next one is written: some ten megabytes, emptied in milliseconds."""

_SCHEMA: Final = """
create schema if not exists {schema};
comment on schema {schema} is {owner};
create sequence if not exists {schema}.change_id;
create table if not exists {schema}.change (
  id bigint not null default nextval({sequence}),
  part smallint not null
    default coalesce(pg_sequence_last_value({sequence}), 0) / {part_changes} % {parts},
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null default clock_timestamp(),
  relation oid,
  "table" text,
  op text not null check (op in ('I', 'U', 'D', 'T', 'X')),
  "row" json,
  key json,
  check ((relation is null) <> ("table" is null)),
  check (("row" is null) = (op in ('D', 'T', 'X')) and (key is not null or op <> 'D')),
  check (json_typeof("row") = 'object'),
  check (json_typeof(key) = 'object')
) partition by list (part);
create index if not exists change_xid on {schema}.change (xid);
create table if not exists {schema}.read (
  position bigint primary key, seen text not null, at timestamptz not null default now()
);
"""
_PART: Final = """
create table if not exists {part} partition of {schema}.change for values in ({number});
"""
# A table may be renamed and its key may get other columns: the key is looked up at each change.
_KEY_OF: Final = """
create or replace function {schema}.key_of(root oid, content json) returns json
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when count(*) = 0 then content
              else json_object_agg(a.attname, content -> a.attname::text order by a.attnum) end
  from pg_class c
  join pg_index i on i.indrelid = c.oid and case c.relreplident
    when 'f' then false when 'i' then i.indisreplident else i.indisprimary end
  join pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
  where c.oid = root
$$;
"""
# What the texts of values depend on is set, so that they can be read whatever the writer has set.
# A row that a trigger of the application has changed or deleted meanwhile has been noted as it is
# now, before this: noting what it was would bring that back. Only then is `xmax` set and it gone.
# As JSON a row may be too large for a value of the server (1 GB): `X` has the table read again.
_NOTE_ROW: Final = """
create or replace function {schema}.note_row() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, MDY' set intervalstyle = 'iso_8601' set timezone = 'UTC'
set extra_float_digits = 3
set lc_monetary from current as $$
declare
  root constant oid := tg_argv[0];
  content json;
  gone json;
  is_there boolean := true;
begin
  begin
    if tg_op <> 'INSERT' then
      gone := {schema}.key_of(root, to_json(old));
    end if;
    if tg_op <> 'DELETE' then
      content := to_json(new);
    end if;
  exception when program_limit_exceeded or out_of_memory or internal_error then
    insert into {schema}.change (relation, op) values (root, 'X');
    return null;
  end;
  if tg_op <> 'DELETE' then
    if gone::text = {schema}.key_of(root, content)::text then
      gone := null;
    end if;
    if new.xmax::text <> '0' and has_table_privilege(tg_relid, 'select')
        and not row_security_active(tg_relid) then
      execute format('select exists (select from only %s where ctid = $1)', tg_relid::regclass)
        into is_there using new.ctid;
    end if;
  end if;
  if is_there and tg_op <> 'DELETE' then
    insert into {schema}.change (relation, op, "row", key)
    values (root, left(tg_op, 1), content, gone);
  elsif gone is not null then
    insert into {schema}.change (relation, op, key) values (root, 'D', gone);
  end if;{notify}
  return null;
end $$;
"""
_NOTE_TRUNCATE: Final = """
create or replace function {schema}.note_truncate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into {schema}.change (relation, op) values (tg_argv[0]::oid, 'T');{notify}
  return null;
end $$;
"""
# PREPARE TRANSACTION fails in a transaction that has notified.
_NOTIFY: Final = """
  if current_setting('max_prepared_transactions') = '0' then
    perform pg_notify({channel}, '');
  end if;"""
_ROW_TRIGGER: Final = """
create trigger {name} after insert or update or delete on {table}
for each row execute function {schema}.note_row({oid});
alter table {table} enable always trigger {name};
"""
_TRUNCATE_TRIGGER: Final = """
create trigger {name} after truncate on {table}
for each statement execute function {schema}.note_truncate({oid});
alter table {table} enable always trigger {name};
"""
_READER: Final = """
grant usage on schema {schema} to {role};
grant select, truncate on {tables} to {role};
grant select, insert, delete on {schema}.read to {role};
grant select on {schema}.change_id to {role};
"""


_FUNCTIONS: Final = (_KEY_OF, _NOTE_ROW, _NOTE_TRUNCATE)


def owner(pipeline: str) -> str:
    """The comment of the schema: whose outbox it is."""
    return f"{OUTBOX}{pipeline}"


def part_name(schema: str, number: int) -> str:
    """A part of the outbox, as SQL names it."""
    return sql.Identifier(schema, f"change_{number}").as_string()


def row_trigger(schema: str) -> str:
    """Its name: it sorts first, so that a row is noted before other triggers change it."""
    return f"0_{schema}_row"


def truncate_trigger(schema: str) -> str:
    """Its name."""
    return f"0_{schema}_truncate"


def objects(schema: str, pipeline: str, *, notify: bool) -> str:
    """The schema with all that is in it, made or brought up to date."""
    names = {
        "schema": sql.Identifier(schema),
        "sequence": sql.SQL("{}::regclass").format(sql.Literal(f'"{schema}".change_id')),
        "owner": sql.Literal(owner(pipeline)),
        "parts": sql.Literal(PARTS),
        "part_changes": sql.Literal(PART_CHANGES),
        "notify": sql.SQL(_NOTIFY if notify else "").format(channel=sql.Literal(schema)),
    }
    made = [sql.SQL(_SCHEMA).format(**names)]
    for number in range(PARTS):
        part = sql.SQL(part_name(schema, number))
        made.append(
            sql.SQL(_PART).format(part=part, schema=names["schema"], number=sql.Literal(number))
        )
    made.extend(sql.SQL(each).format(**names) for each in _FUNCTIONS)
    return "".join(each.as_string() for each in made)


def row_trigger_statement(schema: str, relation: Relation, oid: int) -> str:
    """Notes every row that is inserted, updated or deleted, of all partitions as well."""
    return _trigger(_ROW_TRIGGER, row_trigger(schema), schema, relation, oid)


def truncate_trigger_statement(schema: str, relation: Relation, oid: int) -> str:
    """Notes that all rows are gone."""
    return _trigger(_TRUNCATE_TRIGGER, truncate_trigger(schema), schema, relation, oid)


def _trigger(statement: str, name: str, schema: str, relation: Relation, oid: int) -> str:
    return (
        sql.SQL(statement)
        .format(
            name=sql.Identifier(name),
            table=sql.Identifier(relation.schema, relation.name),
            schema=sql.Identifier(schema),
            oid=sql.Literal(str(oid)),
        )
        .as_string()
    )


def owned_by(schema: str, role: str) -> str:
    """All of it belongs to the owner of the tables, whoever runs the statements."""
    kinds = [
        "schema {schema}",
        "table {schema}.change",
        *(f"table {{schema}}.change_{number}" for number in range(PARTS)),
        "table {schema}.read",
        "sequence {schema}.change_id",
        "function {schema}.key_of(oid, json)",
        "function {schema}.note_row()",
        "function {schema}.note_truncate()",
    ]
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    return "".join(
        sql.SQL(f"alter {kind} owner to {{role}};\n").format(**names).as_string() for kind in kinds
    )


def drop_trigger(name: str, table: str) -> str:
    """`table` as SQL names it."""
    return f"drop trigger if exists {sql.Identifier(name).as_string()} on {table};\n"


def drop_objects(schema: str) -> str:
    """With the triggers that are left, and what nobody has read."""
    return f"drop schema if exists {sql.Identifier(schema).as_string()} cascade;\n"


def reader_rights(schema: str, role: str) -> str:
    """What the daemon's role needs where it isn't the one that installs. `role` is quoted."""
    tables = [f"{sql.Identifier(schema).as_string()}.change"]
    tables.extend(part_name(schema, number) for number in range(PARTS))
    return (
        sql.SQL(_READER)
        .format(
            schema=sql.Identifier(schema), role=sql.SQL(role), tables=sql.SQL(", ".join(tables))
        )
        .as_string()
    )
