"""What `cdc-daemon check` says of an outbox: everything that can be known beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.ports import Finding
from connectors.outbox.installing import (
    find_installed,
    key_reasons,
    lacking,
    owner_reasons,
    type_reasons,
)
from connectors.outbox.noting import unknown_tables, who_notes
from connectors.outbox.rights import rights_reasons
from connectors.postgres.database import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.outbox.config import OutboxConfig
    from connectors.postgres.database import Candidate, Database

_WHERE: Final = "select version(), current_database()::text, current_user::text"
_PREPARES: Final = "select current_setting('max_prepared_transactions') <> '0'"


def examine(
    database: Database, config: OutboxConfig, pipeline: str, relations: Sequence[Relation]
) -> Iterator[Finding]:
    """Look at server, tables, rights and triggers; touches nothing."""
    queries = database.queries()
    with mapped_errors("ask the server who it is"):
        [(version, name, user)] = queries.execute(_WHERE)
    yield Finding("connection", "ok", f"{version.partition(' on ')[0]}, database {name}, as {user}")
    for reason in database.server_reasons():
        yield Finding("server", "problem", reason)
    candidates, missing = database.candidates(relations)
    for reason in missing:
        yield Finding("tables", "problem", reason)
    for why in unknown_tables(config, relations):
        yield Finding("source.written_by_applications", "problem", why)
    for candidate in candidates:
        yield from _table(database, candidate)
    yield from _outbox(database, config, pipeline, candidates)
    with mapped_errors("read the server's settings"):
        [(prepares,)] = queries.execute(_PREPARES)
    if config.notify and prepares:
        yield Finding(
            "notify",
            "warning",
            "max_prepared_transactions isn't 0, and a transaction that has notified can't be "
            "prepared: nothing is notified, and the daemon looks every source.poll_interval. To "
            "say so, set source.notify to false",
        )


def _table(database: Database, candidate: Candidate) -> Iterator[Finding]:
    check = f"table {candidate.relation.qualified_name}"
    reasons = [
        *database.reading_reasons(candidate),
        *key_reasons(candidate),
        *type_reasons(database.queries(), candidate),
    ]
    for reason in reasons:
        yield Finding(check, "problem", reason)
    if not reasons:
        yield Finding(check, "ok", f"{len(candidate.relation.columns)} columns")


def _outbox(
    database: Database, config: OutboxConfig, pipeline: str, candidates: Sequence[Candidate]
) -> Iterator[Finding]:
    check = f"outbox {config.in_schema}"
    installed = find_installed(database.queries(), config.in_schema, pipeline)
    installed.require_ours()
    noting = who_notes(config, candidates)
    oids = [candidate.table.oid for candidate in noting.by_triggers]
    if installed.is_there:
        queries = database.queries()
        for reason in (
            *owner_reasons(queries, installed, oids),
            *rights_reasons(queries, installed),
        ):
            yield Finding(check, "problem", reason)
    reasons = list(lacking(installed, noting))
    for reason in reasons:
        yield Finding(check, "problem", f"{reason}. Run: cdc-daemon outbox install")
    if not reasons and noting.by_triggers:
        yield Finding(check, "ok", "triggers give it every change of what is mapped")
    for candidate in noting.by_applications:
        name = candidate.relation.qualified_name
        yield Finding(check, "ok", f"the application writes into it what becomes of table {name}")
