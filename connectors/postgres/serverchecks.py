"""Settings of the server, its clock and open transactions: what may do harm later."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.ports import Finding
from connectors.postgres.session import mapped_errors
from connectors.postgres.walpolicy import BOUND_BY_SERVER, UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.postgres.config import PostgresConfig
    from connectors.postgres.session import Connection
    from connectors.postgres.slotstate import SlotState

SHORT_SENDER_TIMEOUT_MS: Final = 10_000
"""Below it a pause of the daemon's machine already cuts the connection."""
SMALL_DECODING_KB: Final = 16 * 1024
"""A quarter of the default: below it ordinary transactions are sent in parts before they end."""
LARGE_OFFSET_SECONDS: Final = 1.0
LONG_TRANSACTION_SECONDS: Final = 60
"""A new slot waits for it, and nobody likes to wait longer without knowing why."""
CONNECTIONS: Final = 4
"""For the stream, for queries, one that reads the clock, and one that looks at the catalog."""
CONNECTIONS_BESIDES: Final = 4
"""While existing rows are read: the two `backfill.workers` of the default, one that reads rows of
which a value was left out, and one that looks where the log ends, for whom somebody waits."""

# In the units of pg_settings: MB, kB, ms. What the session itself has set since is left out.
_SETTINGS: Final = """
select name, reset_val from pg_catalog.pg_settings where name in
  ('max_wal_senders', 'max_slot_wal_keep_size', 'idle_replication_slot_timeout',
   'wal_sender_timeout', 'logical_decoding_work_mem', 'synchronous_standby_names',
   'synchronized_standby_slots', 'statement_timeout', 'transaction_timeout',
   'idle_session_timeout', 'idle_in_transaction_session_timeout')
"""
_SENDERS: Final = "select count(*)::int from pg_catalog.pg_stat_replication"
_ROLE: Final = """
select rolconnlimit, quote_ident(rolname) from pg_catalog.pg_roles where rolname = current_user
"""
_CLOCK: Final = "select extract(epoch from clock_timestamp())::float8"
_OPEN: Final = """
select pid, extract(epoch from clock_timestamp() - xact_start)::int, application_name, state
from pg_catalog.pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid()
  and xact_start < clock_timestamp() - make_interval(secs => %s)
order by xact_start
"""
_PREPARED: Final = """
select gid, database::text, extract(epoch from clock_timestamp() - prepared)::int
from pg_catalog.pg_prepared_xacts
where prepared < clock_timestamp() - make_interval(secs => %s) order by prepared
"""


def setting_findings(
    connection: Connection, config: PostgresConfig, state: SlotState | None
) -> Iterator[Finding]:
    """Settings that let a slot be lost, a disk fill, or a connection be cut."""
    with mapped_errors("read the server's settings"):
        settings: dict[str, str] = dict(connection.execute(_SETTINGS).fetchall())
    yield from _walsenders(connection, int(settings["max_wal_senders"]), state)
    yield _kept_log(int(settings["max_slot_wal_keep_size"]), config)
    yield from _idle_timeout(settings.get("idle_replication_slot_timeout", "0"))
    yield _sender_timeout(int(settings["wal_sender_timeout"]))
    yield _decoding_memory(int(settings["logical_decoding_work_mem"]))
    yield _synchronous(settings["synchronous_standby_names"])
    if config.failover and "synchronized_standby_slots" in settings:
        yield _failover(settings["synchronized_standby_slots"])
    with mapped_errors("read the role"):
        [(connections, role)] = connection.execute(_ROLE)
    yield _session_timeouts(settings, role)
    yield from _connection_limit(connections, role)


def _walsenders(connection: Connection, most: int, state: SlotState | None) -> Iterator[Finding]:
    with mapped_errors("read the replication connections"):
        found = connection.execute(_SENDERS).fetchone()
    used = found[0] if found else 0
    ours = state is not None and state.active
    wanted = 1 if ours else 2  # the stream, and now and then one that asks who the server is
    if most - used >= wanted:
        yield Finding("max_wal_senders", "ok", f"{used} of {most} are taken")
    else:
        yield Finding(
            "max_wal_senders",
            "warning" if ours else "problem",
            f"{used} of {most} replication connections are taken, and the daemon needs {wanted} "
            f"more. Run: alter system set max_wal_senders = {used + 4}; and restart the server",
        )


def _kept_log(keep_mb: int, config: PostgresConfig) -> Finding:
    check = "max_slot_wal_keep_size"
    limit = config.wal.limit
    if keep_mb < 0 and limit is None:
        return Finding(
            check, "warning", f"{UNBOUNDED}. Run: {BOUND_BY_SERVER}; or set source.wal.limit"
        )
    if keep_mb < 0:
        return Finding(
            check, "ok", f"no limit; source.wal.limit is {limit:,} bytes while the daemon runs"
        )
    if limit is not None and limit >= keep_mb << 20:
        return Finding(
            check,
            "warning",
            f"at {keep_mb} MB the server loses the slot, before source.wal.limit ({limit:,} bytes) "
            "is reached. Lower source.wal.limit, or raise the other: alter system set "
            f"max_slot_wal_keep_size = '{2 * limit >> 20}MB'; select pg_reload_conf()",
        )
    return Finding(check, "ok", f"{keep_mb} MB")


def _idle_timeout(setting: str) -> Iterator[Finding]:
    if setting != "0":
        yield Finding(
            "idle_replication_slot_timeout",
            "warning",
            f"it is {setting} s: a daemon that stays away for longer loses its slot, and the next "
            "start loads everything anew. Run: alter system set idle_replication_slot_timeout = 0; "
            "select pg_reload_conf()",
        )


def _sender_timeout(milliseconds: int) -> Finding:
    check = "wal_sender_timeout"
    mend = f"Run: alter system set {check} = '60s'; select pg_reload_conf()"
    if milliseconds == 0:
        return Finding(
            check,
            "warning",
            f"it is off: a daemon whose machine has vanished holds its slot until TCP gives up. "
            f"{mend}",
        )
    if milliseconds < SHORT_SENDER_TIMEOUT_MS:
        return Finding(
            check,
            "warning",
            f"it is {milliseconds} ms: a short pause of the daemon's machine cuts the stream. "
            f"{mend}",
        )
    return Finding(check, "ok", f"{milliseconds // 1000} s")


def _decoding_memory(kilobytes: int) -> Finding:
    check = "logical_decoding_work_mem"
    if kilobytes < SMALL_DECODING_KB:
        return Finding(
            check,
            "warning",
            f"it is {kilobytes} kB: larger transactions are sent in parts before they commit, also "
            f"those that are rolled back. Run: alter system set {check} = '64MB'; "
            "select pg_reload_conf()",
        )
    return Finding(check, "ok", f"{kilobytes >> 10} MB")


def _synchronous(names: str) -> Finding:
    check = "synchronous_standby_names"
    if "*" in names:
        return Finding(
            check,
            "problem",
            f"it is {names!r}, which takes any replication connection, the daemon's too: commits "
            "of the application would wait for the daemon, and for ever where none runs. Run, "
            f"with the names of your standbys: alter system set {check} = 'FIRST 1 (standby_1)'; "
            "select pg_reload_conf()",
        )
    return Finding(check, "ok", names or "none")


def _failover(slots: str) -> Finding:
    check = "synchronized_standby_slots"
    if slots:
        return Finding(check, "ok", slots)
    return Finding(
        check,
        "warning",
        "it is empty: the daemon may be ahead of the standby, and after a failover OpenSearch "
        "holds what the new primary doesn't. Run, with the standby's physical slot: alter "
        f"system set {check} = 'standby_1'; select pg_reload_conf()",
    )


def _session_timeouts(settings: Mapping[str, str], role: str) -> Finding:
    """Those of the role, the database or the server: they would end the first load or a session."""
    names = (
        *("statement_timeout", "transaction_timeout"),
        *("idle_session_timeout", "idle_in_transaction_session_timeout"),
    )
    if given := [name for name in names if settings.get(name, "0") != "0"]:
        return Finding(
            "session timeouts",
            "warning",
            f"{', '.join(given)}: the server would cut the first load, or a connection that waits. "
            "Run: " + "; ".join(f"alter role {role} set {name} = 0" for name in given),
        )
    return Finding("session timeouts", "ok", "none")


def _connection_limit(connections: int, role: str) -> Iterator[Finding]:
    enough = CONNECTIONS + CONNECTIONS_BESIDES
    if not 0 <= connections < enough:
        return
    mend = f"Run: alter role {role} connection limit {enough}"
    if connections < CONNECTIONS:
        yield Finding(
            "connection limit",
            "problem",
            f"the role {role} may have {connections} connections, and the daemon needs "
            f"{CONNECTIONS} all the time, and more while it loads. {mend}",
        )
    else:
        yield Finding(
            "connection limit",
            "warning",
            f"the role {role} may have {connections} connections: while the daemon loads it needs "
            f"{enough}, and one more for each of backfill.workers beyond two. {mend}",
        )


def clock_finding(connection: Connection) -> Finding:
    """How far the clock here and that of the server are apart."""
    before = time.time()
    with mapped_errors("read the server's clock"):
        found = connection.execute(_CLOCK).fetchone()
    round_trip = time.time() - before
    offset = (found[0] if found else before) - (before + round_trip / 2)
    said = f"the server's clock is {abs(offset):.3f} s {'ahead' if offset > 0 else 'behind'}"
    if abs(offset) < LARGE_OFFSET_SECONDS + round_trip:
        return Finding("clock", "ok", said)
    return Finding(
        "clock",
        "warning",
        f"{said}: the replication delay is corrected by it, but logs of the two can't be compared. "
        "Set both by NTP",
    )


def open_transactions(connection: Connection) -> Iterator[Finding]:
    """Transactions that a new slot would wait for, and that hold back an old one."""
    with mapped_errors("read the open transactions"):
        sessions = connection.execute(_OPEN, [LONG_TRANSACTION_SECONDS]).fetchall()
        prepared = connection.execute(_PREPARED, [LONG_TRANSACTION_SECONDS]).fetchall()
    why = "a new slot waits for its end, and an old one keeps the log since"
    for pid, age, application, state in sessions:
        yield Finding(
            "open transactions",
            "warning",
            f"pid {pid} ({application or 'unknown'}, {state}) has had a transaction open for {age} "
            f"s: {why}. End it there, or run: select pg_terminate_backend({pid})",
        )
    for gid, database, age in prepared:
        literal = sql.Literal(gid).as_string(connection)
        yield Finding(
            "open transactions",
            "warning",
            f"transaction {gid} of database {database} was prepared {age} s ago: {why}. Commit it, "
            f"or run in that database: rollback prepared {literal}",
        )
    if not sessions and not prepared:
        yield Finding(
            "open transactions", "ok", f"none that is older than {LONG_TRANSACTION_SECONDS} s"
        )
