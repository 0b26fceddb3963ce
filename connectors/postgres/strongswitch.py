"""Changes `synchronous_standby_names`, and looks whether that had the effect."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import sql

from cdc_daemon.errors import SourceError
from connectors.postgres.session import mapped_errors
from connectors.postgres.standbynames import StandbyNames, read_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.postgres.session import Connection

SETTING: Final = "synchronous_standby_names"
RELOAD: Final = "select pg_reload_conf()"
EFFECT_SECONDS: Final = 10.0
"""How long the server's processes may take to notice the setting: each does at its next turn."""
POLL_SECONDS: Final = 0.05

_MAY_READ_FILES: Final = "select has_function_privilege('pg_show_all_file_settings()', 'execute')"
_IN_OTHER_FILES: Final = """
select setting from pg_catalog.pg_file_settings
where name = 'synchronous_standby_names' and sourcefile not like '%postgresql.auto.conf'
order by seqno desc limit 1
"""


class Change(NamedTuple):
    """One change of the setting."""

    statement: str
    """The SQL, without the reload."""
    names: StandbyNames
    """What it leads to."""


def change_to(connection: Connection, names: StandbyNames) -> Change:
    """How the setting comes to be `names`: by itself where that is what the server's files say."""
    with mapped_errors("read the server's files"):
        [(may_read,)] = connection.execute(_MAY_READ_FILES)
        found = connection.execute(_IN_OTHER_FILES).fetchone() if may_read else None
    if may_read and read_names(found[0] if found else "") == names:
        return Change(f"alter system reset {SETTING}", names)
    value = sql.Literal(str(names)).as_string(connection)
    return Change(f"alter system set {SETTING} = {value}", names)


def apply(connection: Connection, change: Change, has_effect: Callable[[], bool]) -> bool:
    """Change the setting; whether it had the effect in time."""
    with mapped_errors(f"change {SETTING}"):
        connection.execute(change.statement.encode())
        connection.execute(RELOAD)
    deadline = time.monotonic() + EFFECT_SECONDS
    while not (done := has_effect()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return done


def require_setting(connection: Connection, names: StandbyNames) -> None:
    """Raise SourceError unless sessions that begin now have the setting."""
    with mapped_errors(f"read {SETTING}"):
        [(setting,)] = connection.execute(f"show {SETTING}".encode())
    if read_names(setting) != names:
        raise SourceError(
            f"{SETTING} is {setting!r} still, although it was changed: something else sets it. "
            "Where: see pg_file_settings"
        )
