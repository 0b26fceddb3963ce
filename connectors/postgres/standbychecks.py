"""What `cdc-daemon check` says of a source that is a standby, and of its primary."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.ports import Finding
from connectors.postgres.history import NO_STANDBY, too_old
from connectors.postgres.primary import Primary, require_same_system
from connectors.postgres.serverchecks import open_transactions
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.postgres.session import Connection

_SETTINGS: Final = """
select current_setting('hot_standby_feedback')::bool, current_setting('primary_slot_name') <> ''
"""
_ON_PRIMARY: Final = """
select current_setting('wal_level'), current_user::text,
       has_function_privilege('pg_catalog.pg_log_standby_snapshot()', 'execute')
"""


def standby_findings(
    standby: Connection, primary_dsn: str | None, application: str
) -> Iterator[Finding]:
    """Whether it can be followed, and what its slot would be lost by."""
    if primary_dsn is None:
        yield Finding("standby", "problem", NO_STANDBY)
        return
    if reason := too_old(standby):
        yield Finding("standby", "problem", reason)
        return
    yield Finding("standby", "ok", "it is followed, and its primary is asked for what it can't do")
    yield from _kept_rows(standby)
    try:
        with closing(Primary(primary_dsn, application).connect()) as primary:
            yield from _primary(standby, primary)
    except (RetryError, SourceError) as error:
        yield Finding("primary", "problem", f"source.primary_dsn: {error}")


def _kept_rows(standby: Connection) -> Iterator[Finding]:
    with mapped_errors("read the standby's settings"):
        [(feedback, has_slot)] = standby.execute(_SETTINGS)
    check = "hot_standby_feedback"
    if feedback and has_slot:
        yield Finding(check, "ok", "the primary keeps what the slot needs")
        return
    if not feedback:
        yield Finding(
            check,
            "warning",
            "it is off: VACUUM on the primary removes rows that the slot needs, the standby then "
            "loses the slot, and everything is loaded anew. Run on the standby: alter system set "
            f"{check} = on; select pg_reload_conf()",
        )
    if not has_slot:
        yield Finding(
            "primary_slot_name",
            "warning",
            "it is empty: while the standby is disconnected the primary keeps neither log nor rows "
            "for it, and the slot may be lost. Run on the primary: select "
            "pg_create_physical_replication_slot('standby_1', true); and on the standby: alter "
            "system set primary_slot_name = 'standby_1'; select pg_reload_conf()",
        )


def _primary(standby: Connection, primary: Connection) -> Iterator[Finding]:
    require_same_system(primary, standby)
    with mapped_errors("read the primary's settings"):
        [(wal_level, role, may_log)] = primary.execute(_ON_PRIMARY)
    if wal_level == "logical":
        yield Finding("primary", "ok", "it is the standby's, and wal_level is logical")
    else:
        yield Finding(
            "primary",
            "problem",
            f"wal_level is {wal_level} there, and must be logical. Run there: alter system set "
            "wal_level = 'logical'; and restart it",
        )
    check = "pg_log_standby_snapshot"
    if may_log:
        yield Finding(check, "ok", "a slot is made without waiting for the primary to be busy")
    else:
        yield Finding(
            check,
            "warning",
            "the role may not call it, so making the slot takes up to a minute. Run as a superuser "
            "on the primary: grant execute on function pg_log_standby_snapshot to "
            f"{sql.Identifier(role).as_string(primary)}",
        )
    yield from open_transactions(primary)
