"""What `cdc-daemon check` says of the log of a relay: everything that can be known beforehand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.ports import Finding
from connectors.postgres.database import mapped_errors
from connectors.relay.tables import reasons

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.database import Database
    from connectors.relay.topic import Found, LogTopic

SILENT_SECONDS: Final = 60.0
"""A relay that runs writes to its log about once a second, where its source has moved on."""
_WHERE: Final = "select version(), current_database()::text, current_user::text"


def examine(
    database: Database, topic: LogTopic, relations: Sequence[Relation]
) -> Iterator[Finding]:
    """Look at server, tables, rights and the log; touches nothing."""
    with mapped_errors("ask the server who it is"):
        [(version, name, user)] = database.queries().execute(_WHERE)
    yield Finding("connection", "ok", f"{version.partition(' on ')[0]}, database {name}, as {user}")
    for reason in database.server_reasons():
        yield Finding("server", "problem", reason)
    candidates, missing = database.candidates(relations)
    for reason in missing:
        yield Finding("tables", "problem", reason)
    for candidate in candidates:
        check = f"table {candidate.relation.qualified_name}"
        problems = list(database.reading_reasons(candidate))
        for reason in problems:
            yield Finding(check, "problem", reason)
        if not problems:
            yield Finding(check, "ok", f"{len(candidate.relation.columns)} columns")
    yield from _log(str(database.identity()), topic, relations)


def _log(here: str, topic: LogTopic, relations: Sequence[Relation]) -> Iterator[Finding]:
    check = f"log {topic.name}"
    try:
        topic.identity()
        last = topic.last()
    except (RetryError, SourceError) as error:
        yield Finding(check, "problem", str(error))
        return
    if last is None:
        yield Finding(check, "problem", f"topic {topic.name} is empty. Start the relay")
        return
    problems = list(reasons(last.head, relations))
    if last.head.source_id != here:
        problems.append(f"its relay follows {last.head.source_id}, and source.dsn leads to {here}")
    for reason in problems:
        yield Finding(check, "problem", reason)
    if not problems:
        yield _freshness(check, last)


def _freshness(check: str, last: Found) -> Finding:
    silent_seconds = time.time() - last.written
    if silent_seconds > SILENT_SECONDS:
        return Finding(
            check,
            "warning",
            f"nothing was written to it for {silent_seconds:.0f} s: see whether the relay runs "
            "(cdc-daemon status, with its configuration)",
        )
    return Finding(check, "ok", f"it has all {len(last.head.tables)} tables of its relay")
