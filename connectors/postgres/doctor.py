"""What `cdc-daemon check` says of a PostgreSQL source: everything that can be known beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from psycopg import sql

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.ports import Finding
from connectors.postgres.inheriting import children, left_out
from connectors.postgres.lateridentity import later_ones
from connectors.postgres.membership import unmapped_members
from connectors.postgres.preflight import (
    Candidate,
    find_candidates,
    load_reasons,
    overlap_reasons,
    server_findings,
    table_reasons,
)
from connectors.postgres.publication import find_missing
from connectors.postgres.publishedcolumns import (
    LATER,
    lacks_generated,
    may_alter,
    publish_generated,
)
from connectors.postgres.serverchecks import (
    clock_finding,
    open_transactions,
    setting_findings,
)
from connectors.postgres.session import connect, mapped_errors
from connectors.postgres.slotstate import meanings, read_state
from connectors.postgres.standbychecks import standby_findings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.config import PostgresConfig
    from connectors.postgres.publication import Missing
    from connectors.postgres.session import Connection
    from connectors.postgres.slotstate import SlotState

_READ_ONLY: Final = "set default_transaction_read_only = on; set statement_timeout = '30s'"
_WHERE: Final = """
select version(), current_database()::text, current_user::text, pg_is_in_recovery()
"""
_FITS: Final = (
    ". Whether that fits the checkpoint, and what a start would load, says cdc-daemon plan"
)
# As the owner of the tables and of the publication, or of a database to make one in.
_MAY_PUBLISH: Final = """
select (select coalesce(bool_and(pg_has_role(relowner, 'usage')), true)
        from pg_catalog.pg_class where oid = any(%s)),
       coalesce((select pg_has_role(pubowner, 'usage')
                 from pg_catalog.pg_publication where pubname = %s),
                has_database_privilege(current_database(), 'create'))
"""


@dataclass(frozen=True, slots=True)
class Patient:
    """The source that is looked at."""

    config: PostgresConfig
    application: str
    slot: str
    publication: str

    def connect(self, *, replication: bool = False) -> Connection:
        """As the daemon connects."""
        dsn = self.config.dsn.get_secret_value()
        return connect(dsn, name=self.application, replication=replication)

    def standby_findings(self, connection: Connection) -> Iterator[Finding]:
        """What is to be said where it is a standby."""
        primary_dsn = self.config.primary_dsn
        dsn = None if primary_dsn is None else primary_dsn.get_secret_value()
        return standby_findings(connection, dsn, self.application)


def examine(patient: Patient, relations: Sequence[Relation]) -> Iterator[Finding]:
    """Look at server, rights, tables, publication and slot; touches nothing.

    Raises RetryError or SourceError if the server can't be asked at all.
    """
    with patient.connect() as connection:
        with mapped_errors("begin a read-only session"):
            connection.execute(_READ_ONLY)
        is_standby = yield from _where(connection)
        yield from _replication_connection(patient)
        state = read_state(connection, patient.slot)
        for look in _looks(connection, patient, relations, state, is_standby=is_standby):
            try:
                yield from look()
            except SourceError as error:
                yield Finding("source", "problem", str(error))


def _looks(
    connection: Connection,
    patient: Patient,
    relations: Sequence[Relation],
    state: SlotState | None,
    *,
    is_standby: bool,
) -> Iterator[Callable[[], Iterator[Finding]]]:
    """Each part of it on its own: a part that fails doesn't hide the others."""
    config = patient.config
    yield lambda: server_findings(
        connection, patient.slot, failover=config.failover, origin=config.origin
    )
    yield lambda: setting_findings(connection, config, state)
    yield lambda: iter([clock_finding(connection)])
    if is_standby:
        yield lambda: patient.standby_findings(connection)
    else:
        yield lambda: open_transactions(connection)
    yield lambda: _tables(connection, relations, state)
    yield lambda: _publication(connection, patient, relations, state)
    yield lambda: _slot(patient, state)


def _where(connection: Connection) -> Generator[Finding, None, bool]:
    """Which server it is; returns whether that is a standby."""
    with mapped_errors("ask the server who it is"):
        found = connection.execute(_WHERE).fetchone()
    if found is None:
        return False
    version, database, user, standby = found
    yield Finding(
        "connection", "ok", f"{version.partition(' on ')[0]}, database {database}, as {user}"
    )
    return bool(standby)


def _replication_connection(patient: Patient) -> Iterator[Finding]:
    """pg_hba.conf, poolers in between, the role and max_wal_senders show only when it is tried."""
    try:
        with (
            patient.connect(replication=True) as replication,
            mapped_errors("identify the server"),
        ):
            replication.execute(b"IDENTIFY_SYSTEM").fetchone()
    except (SourceError, RetryError) as error:
        yield Finding(
            "replication connection",
            "problem",
            f"{error}. Queries are answered, but a replication connection isn't: it needs a role "
            "with REPLICATION, a line in pg_hba.conf for this database, a free walsender "
            "(max_wal_senders), and no pooler in between",
        )
    else:
        yield Finding("replication connection", "ok", "the server takes it")


def _tables(
    connection: Connection, relations: Sequence[Relation], state: SlotState | None
) -> Iterator[Finding]:
    candidates, missing = find_candidates(connection, relations)
    for reason in (*missing, *overlap_reasons(candidates)):
        yield Finding("tables", "problem", reason)
    inheriting = children(connection, relations)
    for candidate in candidates:
        name = candidate.relation.qualified_name
        if name in inheriting:
            yield Finding(f"table {name}", "warning", left_out(inheriting[name]))
        yield from _table(connection, candidate, state)


def _table(
    connection: Connection, candidate: Candidate, state: SlotState | None
) -> Iterator[Finding]:
    relation = candidate.relation
    check = f"table {relation.qualified_name}"
    reasons = list(table_reasons(connection, candidate))
    for reason in reasons:
        yield Finding(check, "problem", reason)
    if not reasons:
        for later in later_ones(connection, candidate.table, candidate.leaves):
            yield Finding(check, "warning", later.message)
    unread = load_reasons(connection, candidate)
    for reason in unread:
        if state is None:
            yield Finding(check, "problem", reason)
        else:
            yield Finding(check, "warning", f"the next load of it would stop: {reason}")
    if reasons or unread:
        return
    said = f"{len(relation.columns)} columns, replica identity {relation.replica_identity}"
    yield Finding(check, "ok", said)


def _publication(
    connection: Connection,
    patient: Patient,
    relations: Sequence[Relation],
    state: SlotState | None,
) -> Iterator[Finding]:
    check = f"publication {patient.publication}"
    try:
        missing = find_missing(connection, patient.publication, relations)
    except SourceError as error:
        for reason in str(error).split("\n"):
            yield Finding(check, "problem", reason)
        return
    if not relations:
        return
    if not missing:
        unmapped = unmapped_members(connection, patient.publication, relations)
        yield Finding(check, "ok", f"it publishes what is mapped{_beside(patient, unmapped)}")
        yield from _later_ones(connection, patient, relations)
        return
    yield Finding(check, *_lacking(connection, patient, relations, missing, state))


def _lacking(
    connection: Connection,
    patient: Patient,
    relations: Sequence[Relation],
    missing: Missing,
    state: SlotState | None,
) -> tuple[Literal["ok", "warning", "problem"], str]:
    """Who must add what is missing, and what that costs."""
    script = missing.script(connection)
    if not patient.config.publication.manage:
        why = "it doesn't publish what is mapped, and publication.manage is false"
        return "problem", f"{why}. Run as the owner of the tables: {script}"
    if not _may_publish(connection, patient, relations):
        return "problem", (
            "it doesn't publish what is mapped, and the role may not make it so. Run as the owner "
            "of the tables, who may create in the database, and set source.publication.manage to "
            f"false: {script}"
        )
    if state is None:
        return "ok", f"the first start makes it: {script}"
    if missing.may_keep_slot(connection.info.server_version):
        return "ok", f"the next start adds tables, and loads only what reads them: {script}"
    return "warning", (
        "it doesn't publish what is mapped: the next start runs what is missing, drops the "
        f"slot, which may lack changes, and loads everything anew: {script}"
    )


def _later_ones(
    connection: Connection, patient: Patient, relations: Sequence[Relation]
) -> Iterator[Finding]:
    """Columns that are generated later: who sees to it that they will be published."""
    name = patient.publication
    if lacks_generated(connection, name, relations) != "nothing yet":
        return
    check, script = f"publication {name}", publish_generated(name).as_string(connection)
    if patient.config.publication.manage and may_alter(connection, name):
        yield Finding(check, "ok", f"the next start has it publish what is generated: {script}")
    else:
        yield Finding(check, "warning", f"{LATER}. Run as its owner: {script}")


def _beside(patient: Patient, unmapped: Sequence[str]) -> str:
    """Who put them there isn't known, so nobody takes them out by itself."""
    if not unmapped:
        return ""
    name = sql.Identifier(patient.publication).as_string()
    return (
        ", and tables that no mapping reads, which are decoded for nothing. To take them out: "
        f"alter publication {name} drop table {', '.join(unmapped)}"
    )


def _may_publish(connection: Connection, patient: Patient, relations: Sequence[Relation]) -> bool:
    candidates, _ = find_candidates(connection, relations)
    oids = [candidate.table.oid for candidate in candidates]
    with mapped_errors("read who owns the tables"):
        found = connection.execute(_MAY_PUBLISH, [oids, patient.publication]).fetchone()
    return found is not None and all(found)


def _slot(patient: Patient, state: SlotState | None) -> Iterator[Finding]:
    check = f"slot {patient.slot}"
    if state is None:
        said = f"there is none yet: the daemon makes it when it first loads{_FITS}"
        yield Finding(check, "ok", said)
        return
    if state.plugin != "pgoutput" or not state.here:
        yield Finding(check, "problem", next(meanings(state, patient.config.wal.bounds())))
        return
    if state.active and state.application != patient.application:
        yield Finding(
            check,
            "problem",
            f"the server process with pid {state.active_pid} ({state.application or 'unknown'}) "
            "reads from it: the daemon would wait for source.slot_wait and stop. End it, or choose "
            f"another source.slot: select pg_terminate_backend({state.active_pid})",
        )
    elif state.active:
        yield Finding(check, "ok", f"a daemon follows it (pid {state.active_pid})")
    meant = list(meanings(state, patient.config.wal.bounds()))
    alarming = meant if state.active or state.lost else meant[1:]  # the first: nobody reads it
    for each in alarming:
        yield Finding(check, "warning", each)
    if not state.active and not alarming:
        kept = f"it keeps {state.retained_bytes or 0:,} bytes; {meant[0]}{_FITS}"
        yield Finding(check, "ok", kept)
