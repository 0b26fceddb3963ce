"""How much of the server's log our slot may keep: the warning at the start, the error at the limit.

The daemon can watch over its slot only while it runs; `max_slot_wal_keep_size` always does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import RetentionLimitError
from connectors.postgres.session import mapped_errors

if TYPE_CHECKING:
    from cdc_daemon.ports import SlotHealth
    from connectors.postgres.config import WalConfig
    from connectors.postgres.session import Connection

log = structlog.get_logger(__name__)

BOUND_BY_SERVER: Final = "alter system set max_slot_wal_keep_size = '50GB'; select pg_reload_conf()"
UNBOUNDED: Final = (
    "max_slot_wal_keep_size is -1, so a daemon that stays away can fill the server's disk"
)
_UNBOUNDED: Final = "select current_setting('max_slot_wal_keep_size') = '-1'"


def keeps_without_bound(connection: Connection) -> bool:
    """Whether the server would keep log for a slot until its disk is full."""
    with mapped_errors("read the server's settings"):
        found = connection.execute(_UNBOUNDED).fetchone()
    return found is not None and bool(found[0])


def warn_if_unbounded(connection: Connection, slot: str, wal: WalConfig) -> None:
    """Say it in the log, with the SQL that sets a bound, unless the configuration has a limit."""
    if wal.limit is None and keeps_without_bound(connection):
        log.warning("wal_unbounded", slot=slot, why=UNBOUNDED, sql=BOUND_BY_SERVER)


def require_below_limit(health: SlotHealth) -> None:
    """Raise RetentionLimitError if the slot keeps as much as it may."""
    limit = health.bounds.limit_bytes
    if limit is not None and health.retained_bytes >= limit:
        raise RetentionLimitError(
            f"replication slot {health.name} keeps {health.retained_bytes:,} bytes of the server's "
            f"log, and {limit:,} are the limit (source.wal.limit, with at_limit: drop). The slot "
            "is dropped, so that the server's disk doesn't fill; searches go on finding what was "
            "there. Find out why the daemon was so far behind, or raise the limit, and start "
            "again: everything is loaded anew"
        )
