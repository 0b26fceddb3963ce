"""What `cdc-daemon check` says of read tables: everything that can be known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import SinkError
from cdc_daemon.ports import Finding
from connectors.postgres.readtables.columns import columns_of
from connectors.postgres.readtables.preflight import check_model, require_rights, require_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.ports import ReadModel
    from connectors.postgres.session import Connection

_PUBLISHED: Final = """
select array_agg(p.pubname::text order by p.pubname) from pg_catalog.pg_publication p
where p.puballtables or exists (
  select from pg_catalog.pg_publication_tables t where t.pubname = p.pubname and t.schemaname = %s
)
"""
_DURABLE: Final = "select current_setting('fsync'), current_setting('full_page_writes')"


def examine(
    connection: Connection, schema: str, models: Sequence[ReadModel], *, pipeline: str
) -> Iterator[Finding]:
    """Look at server, rights and names; what is tried is rolled back."""
    version = connection.info.server_version // 10000
    yield _checked("server", f"PostgreSQL {version}", lambda: require_server(connection))
    yield _durability(connection)
    yield _checked(
        f"schema {schema}",
        "tables can be made there",
        lambda: require_rights(connection, schema),
    )
    yield _publications(connection, schema)
    for model in models:
        yield _read_model(connection, schema, model, pipeline)


def _read_model(connection: Connection, schema: str, model: ReadModel, pipeline: str) -> Finding:
    shown = columns_of(model)
    return _checked(
        f"read model {model.name}",
        f"{len(shown)} of {len(model.fields)} fields have a column, {len(model.indexes)} indexes",
        lambda: check_model(connection, schema, model, pipeline=pipeline),
    )


def _checked(check: str, well: str, look: Callable[[], None]) -> Finding:
    try:
        look()
    except SinkError as error:
        return Finding(check, "problem", str(error))
    return Finding(check, "ok", well)


def _durability(connection: Connection) -> Finding:
    [(fsync, pages)] = connection.execute(_DURABLE).fetchall()
    if (fsync, pages) == ("on", "on"):
        return Finding("durability", "ok", "fsync and full_page_writes are on")
    return Finding(
        "durability",
        "warning",
        f"fsync is {fsync} and full_page_writes is {pages}: after a crash of the machine documents "
        "may be lost that the source has forgotten. Run: alter system set fsync = on; alter system "
        "set full_page_writes = on; select pg_reload_conf()",
    )


def _publications(connection: Connection, schema: str) -> Finding:
    [(names,)] = connection.execute(_PUBLISHED, [schema]).fetchall()
    if not names:
        return Finding("publications", "ok", f"none has tables of {schema}")
    return Finding(
        "publications",
        "warning",
        f"{', '.join(names)} publishes tables of {schema}: whoever follows it gets each document "
        "once more, this pipeline too if it is its own. Name the tables that it is to have (create "
        "publication ... for table ...)",
    )
