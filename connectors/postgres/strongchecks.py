"""What speaks against letting commits wait for the daemon, and what it will mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.ports import Finding
from connectors.postgres.session import mapped_errors
from connectors.postgres.standbynames import ANYONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.ports import Running, StrongTerms
    from connectors.postgres.session import Connection
    from connectors.postgres.strongstate import StrongState

CAUGHT_UP_BYTES: Final = 16 << 20
"""One segment of the log: what a daemon in order is behind for less than a second. Commits that
begin to wait for one that is further behind would wait until it has caught up."""
GRANTS_SETTINGS_VERSION: Final = 150000
"""From here on ALTER SYSTEM can be granted for one setting."""
FAILOVER_VERSION: Final = 170000

_RIGHTS: Final = """
select rolsuper, has_function_privilege('pg_reload_conf()', 'execute'), quote_ident(current_user)
from pg_catalog.pg_roles where rolname = current_user
"""
_MAY_ALTER: Final = "select has_parameter_privilege('synchronous_standby_names', 'alter system')"
_PATRONI: Final = """
select exists (select from pg_catalog.pg_stat_activity where application_name like 'Patroni%')
    or exists (select from pg_catalog.pg_settings where sourcefile like '%postgresql.base.conf')
"""
_OWN_LEVELS: Final = """
select coalesce('role ' || r.rolname, '') || case when r.oid is null or d.oid is null then ''
         else ' in ' end || coalesce('database ' || d.datname, ''),
       split_part(one, '=', 2)
from pg_catalog.pg_db_role_setting s
cross join unnest(s.setconfig) one
left join pg_catalog.pg_database d on d.oid = s.setdatabase
left join pg_catalog.pg_roles r on r.oid = s.setrole
where one like 'synchronous_commit=%'
order by 1
"""
_DATABASES: Final = """
select datname from pg_catalog.pg_database
where datallowconn and not datistemplate and datname <> current_database() order by 1
"""
_SLOTS: Final = "select current_setting('synchronized_standby_slots', true)"


def reasons_against(
    connection: Connection,
    state: StrongState,
    terms: StrongTerms | None,
    running: Running | None,
) -> Iterator[Finding]:
    """Everything that must be mended first; nothing where commits can wait.

    `running`: what the daemon says of itself, where it can be asked.
    """
    if state.is_standby:
        yield _problem(
            "server",
            "the server is a standby, and commits are made on its primary: let source.dsn lead "
            "there. Whether a server is one: select pg_is_in_recovery()",
        )
        return
    if terms is None:
        yield _problem(
            "configuration",
            "the configuration has no consistency.strong: add `consistency: {strong: {}}`, start "
            "the daemon again (which keeps the rows of all read models from then on, and loads "
            "those of one table once more; a relay has none), and call this when it streams",
        )
    yield from rights(connection, state)
    yield from _names(state)
    yield from _daemon(state)
    if running is not None:
        yield from _running(running, terms)
    if terms is not None and terms.degrades and state.may_see and state.guard is None:
        yield _problem(
            "guard",
            "consistency.strong.when_away is degrade, and no guard is connected: start cdc-daemon "
            "strong guard, beside PostgreSQL and not beside the daemon",
        )


def rights(connection: Connection, state: StrongState) -> Iterator[Finding]:
    """Whether the role may change the setting, and whether that would last."""
    with mapped_errors("read the rights of the role"):
        [(is_superuser, may_reload, role)] = connection.execute(_RIGHTS)
        may_alter = is_superuser
        if not is_superuser and connection.info.server_version >= GRANTS_SETTINGS_VERSION:
            [(may_alter,)] = connection.execute(_MAY_ALTER)
        [(by_patroni,)] = connection.execute(_PATRONI)
    if not (may_alter and may_reload and state.may_see):
        yield _problem("rights", _missing_rights(role, connection.info.server_version))
    if by_patroni:
        yield _problem(
            "Patroni",
            "the server is run by Patroni, which writes synchronous_standby_names itself: use "
            "patronictl edit-config, with synchronous_mode off, and under postgresql.parameters "
            "the value that --dry-run prints",
        )
    elif state.setting_source == "command line":
        yield _problem(
            "synchronous_standby_names",
            "it is given on the command line of the server, which ALTER SYSTEM doesn't change: "
            "take it out there, and write it into postgresql.conf",
        )


def _missing_rights(role: str, version: int) -> str:
    wanted = f"grant pg_read_all_stats to {role}; grant execute on function pg_reload_conf() to "
    if version >= GRANTS_SETTINGS_VERSION:
        wanted += f"{role}; grant alter system on parameter synchronous_standby_names to {role}"
    else:
        wanted = f"alter role {role} superuser"
    return (
        f"role {role} may not change synchronous_standby_names, or not see who is connected: give "
        f"--admin-dsn, or run as a superuser: {wanted}; or run what --dry-run prints yourself"
    )


def _names(state: StrongState) -> Iterator[Finding]:
    check = "synchronous_standby_names"
    names = state.names
    if any(name == ANYONE for name in names.names):
        yield _problem(
            check,
            f"it is {state.setting!r}, which takes any replication connection. Run, with the names "
            f"of your standbys: alter system set {check} = 'FIRST 1 (standby_1)'; select "
            "pg_reload_conf()",
        )
    elif names.by_quorum:
        listed = ", ".join(f'"{name}"' for name in names.names)
        yield _problem(
            check,
            f"it is {state.setting!r}: with ANY nobody can be waited for surely. Commits must wait "
            f"for the first ones instead: alter system set {check} = 'FIRST {names.count} "
            f"({listed})'; select pg_reload_conf()",
        )


def _daemon(state: StrongState) -> Iterator[Finding]:
    daemon = state.daemon
    if daemon is None:
        yield _problem(
            "daemon",
            f"nobody follows replication slot {state.slot}: start the daemon first. Commits that "
            "wait would wait for it",
        )
    elif state.may_see and daemon.state != "streaming":
        yield _problem(
            "daemon",
            f"the daemon is catching up ({daemon.state}): commits would wait until it is through. "
            "Call this again when cdc-daemon status says so",
        )
    elif (daemon.behind_bytes or 0) > CAUGHT_UP_BYTES:
        yield _problem(
            "daemon",
            f"the daemon is {daemon.behind_bytes:,} bytes of the log behind: commits would wait "
            "until it is through. Call this again when cdc-daemon status shows less delay",
        )


def _running(running: Running, terms: StrongTerms | None) -> Iterator[Finding]:
    if running.state == "loading" and not (terms is not None and terms.relays):
        yield _problem(
            "daemon",
            "read models are being loaded, which commits don't wait for: call this again when "
            "cdc-daemon status says streaming",
        )
    for why in running.unheard:
        yield _problem("projectors", f"{why}. Call this again when cdc-daemon status says so")
    if terms is not None and running.strong != terms:
        yield _problem(
            "daemon",
            "the daemon that runs has read another consistency.strong than this configuration "
            "has: start it again, and call this when it streams",
        )


def consequences(
    connection: Connection, plain: Connection, state: StrongState, terms: StrongTerms
) -> Iterator[Finding]:
    """What it means for others, once commits wait. `plain`: with the settings of any session."""
    with mapped_errors("read the defaults of synchronous_commit"):
        [(level,)] = plain.execute("show synchronous_commit")
        own = connection.execute(_OWN_LEVELS).fetchall()
        databases = [name for (name,) in connection.execute(_DATABASES)]
        [(slots,)] = connection.execute(_SLOTS)
    yield from _levels(connection, level, own, terms)
    stored = terms.relays and not terms.projectors
    shown = "the same" if stored else "all before them is searchable"
    if databases:
        yield Finding(
            "other databases",
            "warning",
            f"the setting is the server's: commits in {', '.join(databases)} that wait for a "
            "standby wait for the daemon's answer as well. It comes in milliseconds while the sink "
            "takes writes. While it takes none they hang, too, though nothing of theirs is mapped: "
            f"at on until the daemon has stored there how far it is, at remote_apply until "
            f"{shown}. To let them wait for nobody: alter database ... set synchronous_commit = "
            "local",
        )
    if state.names.without_daemon(state.daemon_name, state.guard_name).names:
        yield _other_standbys(state, terms)
    if state.others and connection.info.server_version >= FAILOVER_VERSION and not slots:
        yield Finding(
            "synchronized_standby_slots",
            "warning",
            "it is empty: searches may show what a standby doesn't have after a failover. Run, "
            "with the standby's physical slot: alter system set synchronized_standby_slots = "
            "'standby_1'; select pg_reload_conf()",
        )


def _levels(
    connection: Connection, level: str, own: list[tuple[str, str]], terms: StrongTerms
) -> Iterator[Finding]:
    waits = [("every session that doesn't say otherwise", level), *own]
    name = sql.Identifier(connection.info.dbname).as_string(connection)
    for who, value in waits:
        if value not in {"off", "local"}:
            yield Finding(
                "synchronous_commit",
                "warning",
                f"it is {value} for {who}: their commits wait for the daemon, too, "
                f"{_waits_until(value, terms)}, and hang where nobody answers. To let only those "
                f"wait that ask for it: alter database {name} set synchronous_commit = local (also "
                "for other databases; they then wait for no other standby either)",
            )


def _waits_until(level: str, terms: StrongTerms) -> str:
    if level == "remote_apply" and (terms.projectors or not terms.relays):
        return "until they are searchable"
    return "until it has read them" if level == "remote_write" else "until they are durable"


def _other_standbys(state: StrongState, terms: StrongTerms) -> Finding:
    others = state.names.without_daemon(state.daemon_name, state.guard_name)
    connected = {(one.name or "").casefold() for one in state.standbys}
    there = sum(name.casefold() in connected for name in others.names)
    said = (
        f"commits go on waiting for {others.count} of {', '.join(others.names)} ({there} connected "
        "now), and for the daemon"
    )
    if there < others.count and not terms.degrades:
        said += ". There are too few of them: commits hang already, and will"
    if terms.degrades:
        said += ". The guard stands in for whoever is away, also for the last of them"
    elif len(others.names) > others.count:
        said += (
            ". While the daemon is away one more of them takes its place: commits return, and "
            f"{'Kafka lacks' if terms.relays else 'searches miss'} what they wrote, although "
            "when_away is strict. It holds only where all are waited for"
        )
    return Finding("other standbys", "warning", said)


def _problem(check: str, message: str) -> Finding:
    return Finding(check, "problem", message)
