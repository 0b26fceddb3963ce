"""Makes a commented configuration of what a database holds, as text."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import ConfigurationError, SourceError
from cdc_daemon.ports import TableRequest
from cdc_daemon.values import id_encoder
from connectors.postgres.catalog import Table, describe, leaf_partitions, list_tables
from connectors.postgres.preflight import identity_reasons, own_reasons
from connectors.postgres.readable import kind_reasons
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdc_daemon.events import Column, Relation
    from connectors.postgres.session import Connection

HEAD: Final = """\
# Written by `cdc-daemon init` from database {database}, PostgreSQL {version}.
# What each key means: docs/reference/configuration.md and docs/reference/postgres.md.
# Check it by `cdc-daemon check FILE`, then start `cdc-daemon run FILE`.
name: {name}

source:
  type: postgres
  # postgresql://user:password@host:5432/database: set it in the environment, not here.
  dsn: ${{DATABASE_URL}}
  # slot and publication are called {slot}, unless you name them:
  # slot: my_slot
  # publication: {{name: my_publication, manage: true}}

sink:
  type: opensearch
  hosts: ["${{OPENSEARCH_URL:-http://localhost:9200}}"]

# One read model for each table. Remove what nobody searches.
projections:
"""
ALSO_KEYWORD: Final = re.compile(
    r"(^|_)(code|status|state|kind|type|email|phone|sku|slug|currency|country|city|token|hash)$"
)
"""Columns whose names say that they are looked up whole, not word by word."""
WORDS: Final = frozenset({"text", "varchar", "bpchar", "citext"})
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)?")
_NOT_PLAIN: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})
_UNSEARCHABLE: Final = re.compile(r"[^a-z0-9_]+")
_PRIVILEGE: Final = """
select has_schema_privilege(%(schema)s, 'usage') and has_table_privilege(%(oid)s, 'select')
"""


def outline(connection: Connection, names: Sequence[str], pipeline: str) -> str:
    """The configuration of the tables named, or of all that can be followed.

    Raises SourceError when a named table isn't there or can't be followed, or when none can.
    """
    tables = list_tables(connection)
    chosen, left_out = _choose(connection, tables, names)
    if names and left_out:
        raise SourceError("\n".join(reason for _, reason in left_out))
    if not chosen:
        reasons = "".join(f"\n{table.schema}.{table.name}: {why}" for table, why in left_out)
        raise SourceError(
            f"there is no table that can be followed{reasons or ': no tables at all'}"
        )
    return "".join(
        [
            _title(connection, pipeline),
            *_projections(_described(connection, chosen)),
            *_remarks(left_out),
        ]
    )


def _described(connection: Connection, tables: Sequence[Table]) -> list[Relation]:
    return describe(connection, [TableRequest(f"{each.schema}.{each.name}") for each in tables])


def _choose(
    connection: Connection, tables: Sequence[Table], names: Sequence[str]
) -> tuple[list[Table], list[tuple[Table, str]]]:
    wanted = _named(connection, tables, names) if names else _candidates(tables)
    leaves = leaf_partitions(connection, wanted, tables)
    chosen, left_out = [], []
    for table in wanted:
        reasons = list(_reasons(connection, table, leaves.get(table.oid, ())))
        if reasons:
            left_out.append((table, "; ".join(reasons)))
        else:
            chosen.append(table)
    return chosen, left_out


def _named(connection: Connection, tables: Sequence[Table], names: Sequence[str]) -> list[Table]:
    """The tables named; raises SourceError with the nearest names."""
    requests = [TableRequest(name) for name in dict.fromkeys(names)]
    found = [(one.schema, one.name) for one in describe(connection, requests)]
    by_name = {(table.schema, table.name): table for table in tables}
    return [by_name[each] for each in dict.fromkeys(found)]


def _candidates(tables: Sequence[Table]) -> list[Table]:
    """Partitions belong to their table."""
    whole = [table for table in tables if not table.is_partition]
    return sorted(whole, key=lambda table: (table.schema != "public", table.schema, table.name))


def _reasons(connection: Connection, table: Table, leaves: Sequence[Table]) -> Iterator[str]:
    name = f"{table.schema}.{table.name}"
    if re.search(r'[."]', table.schema + table.name):
        yield f"{name} has a dot or a quote in its name, which the configuration can't spell"
        return
    yield from kind_reasons((table, *leaves))
    yield from own_reasons(connection, name, table)
    yield from identity_reasons(connection, table, leaves)
    if table.kind in {"table", "partitioned"}:
        yield from _key_reasons(connection, table)
        with mapped_errors("read privileges"):
            values = {"schema": table.schema, "oid": table.oid}
            found = connection.execute(_PRIVILEGE, values).fetchone()
        if found is not None and not found[0]:
            yield f"the role may not read {name}"


def _key_reasons(connection: Connection, table: Table) -> Iterator[str]:
    """Why its rows have no document id."""
    name = f"{table.schema}.{table.name}"
    if not table.primary_key:
        yield (
            f"{name} has no primary key: map it by hand, with `id: [columns]` that are unique and "
            "replica identity full"
        )
    (relation,) = _described(connection, [table])
    for column in relation.computed:
        if column.name in table.primary_key:
            yield f"column {column.name} of its key is generated, and not streamed"
    for column in relation.columns:
        if column.name in table.primary_key:
            try:
                id_encoder(column.type)
            except ConfigurationError as error:
                yield f"column {column.name} of its key: {error}"
            if not column.in_identity:
                yield f"its replica identity leaves out {column.name} of its key"


def _title(connection: Connection, pipeline: str) -> str:
    query = "select current_database()::text, current_setting('server_version')"
    with mapped_errors("read the name of the database"):
        found = connection.execute(query).fetchone()
    database, version = found or ("", "")
    name = pipeline or _pipeline_name(database)
    slot = "cdc_" + name.replace("-", "_")
    shown = {"database": one_line(database), "version": version.split()[0]}
    return HEAD.format(name=json.dumps(name) if name in _NOT_PLAIN else name, slot=slot, **shown)


def _pipeline_name(database: str) -> str:
    name = _UNSEARCHABLE.sub("_", database.lower()).strip("_")[:40]
    return name if re.match("[a-z]", name) else f"db_{name}"[:40].rstrip("_")


def _projections(relations: Sequence[Relation]) -> Iterator[str]:
    for name, relation in _index_names(relations).items():
        columns = ", ".join(relation.primary_key)
        yield f"  {name}:\n"
        yield f"    from: {scalar(relation.qualified_name)}  # key: {one_line(columns)}\n"
        yield "    fields:\n"
        used: set[str] = set()
        for column in relation.columns:
            yield _field(column, used)
        for column in relation.computed:
            how = "generated: not streamed, and computed by the daemon where it can be"
            yield f"      # {scalar(column.name)}:  # {_declared(column)}, {how}\n"
        yield "\n"


def _index_names(relations: Sequence[Relation]) -> Mapping[str, Relation]:
    """An index for each: the table's name, with its schema where two would clash."""
    names: dict[str, Relation] = {}
    for relation in relations:
        bare = _index_name(relation.name)
        full = _index_name(f"{relation.schema}_{relation.name}")
        name = full if bare in names or relation.schema != "public" else bare
        while name in names:
            name += "_x"
        names[name] = relation
    return names


def _index_name(name: str) -> str:
    plain = _UNSEARCHABLE.sub("_", name.lower()).strip("_") or "table"
    return f"t_{plain}" if plain in _NOT_PLAIN or plain[0].isdigit() else plain


def _field(column: Column, used: set[str]) -> str:
    name = _field_name(column.name)
    while name in used:
        name += "_x"
    used.add(name)
    settings = {} if name == column.name else {"column": column.name}
    if column.type.base.name in WORDS and ALSO_KEYWORD.search(column.name.lower()):
        settings["type"] = "keyword"
    inner = ", ".join(f"{word}: {scalar(value)}" for word, value in settings.items())
    text = f" {{{inner}}}" if inner else ""
    return f"      {key(name)}:{text}  # {_declared(column)}\n"


def _declared(column: Column) -> str:
    declared = one_line(column.type.declared or column.type.name)
    return declared if column.nullable else f"{declared} not null"


def _field_name(column: str) -> str:
    """Dots would make objects, and names that begin with _ belong to OpenSearch."""
    return column.replace(".", "_").lstrip("_") or "field"


def _remarks(left_out: Sequence[tuple[Table, str]]) -> Iterator[str]:
    if left_out:
        yield "# Left out:\n"
    for table, reason in left_out:
        yield f"#   {one_line(f'{table.schema}.{table.name}')}: {one_line(reason)}\n"


def scalar(text: str) -> str:
    """The text as a value in YAML; `$` is doubled, because variables are filled into values."""
    return key(text.replace("$", "$$"))


def key(text: str) -> str:
    """The text as a key in YAML: as it is where that is safe, quoted elsewhere."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_PLAIN
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


def one_line(text: str) -> str:
    """For a comment: whatever the text holds, it stays one."""
    return "".join(each if each.isprintable() else " " for each in text)
