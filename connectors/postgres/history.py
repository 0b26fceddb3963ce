"""Which history a server is in: which system, and which of its timelines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import NOWHERE, Position
from connectors.postgres.lsn import parse_lsn
from connectors.postgres.session import mapped_errors
from connectors.postgres.timelines import Timeline, places_left

if TYPE_CHECKING:
    from connectors.postgres.session import Connection

FIRST_TIMELINE: Final = 1
STANDBY_VERSION: Final = 160000
"""From here on a standby decodes its log."""
FOLLOWS_WITHIN_SECONDS: Final = 15.0
"""Three times as long as a standby waits until it tries to connect again."""
LOOK_SECONDS: Final = 0.1
NO_STANDBY: Final = (
    "the server is a standby, and without source.primary_dsn it is followed only once it is "
    "promoted: it makes no publication, and the daemon has to ask its primary for one, and for the "
    "time. Let source.dsn lead to the primary (several hosts: host=a,b "
    "target_session_attrs=read-write); or name the primary in source.primary_dsn, to follow the "
    "standby. Whether a server is one: select pg_is_in_recovery()"
)
_IS_STANDBY: Final = b"select pg_is_in_recovery()"
_FOLLOWS: Final = b"select exists (select from pg_catalog.pg_stat_wal_receiver)"
# The name of the file that is being written begins with the number of the timeline.
_TIMELINE: Final = b"select left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"


class Identified(NamedTuple):
    """What IDENTIFY_SYSTEM says."""

    timeline: Timeline
    end: Position
    """How far its log is on its disk."""
    is_standby: bool


def timeline(replication: Connection) -> Timeline:
    """What the server replays, or writes: in one round trip."""
    return _identified(replication)[0]


def identify(replication: Connection, *, may_be_standby: bool = False) -> Identified:
    """The server's history. Raises as `look_for_standby` does."""
    is_standby = look_for_standby(replication, may_be=may_be_standby)
    return Identified(*_identified(replication), is_standby)


def _identified(replication: Connection) -> tuple[Timeline, Position]:
    with mapped_errors("identify the server"):
        # psycopg prepares what comes often, and a replication connection prepares nothing.
        found = replication.execute(b"IDENTIFY_SYSTEM", prepare=False).fetchone()
    if found is None:
        raise SourceError("the server does not say which system it is")
    return Timeline(found[0], int(found[1])), parse_lsn(found[2])


def look_for_standby(connection: Connection, *, may_be: bool) -> bool:
    """Whether the server is a standby.

    Raises RetryError if it is and may not be: it may be promoted at any moment. Raises SourceError
    if it may be, and is too old to be followed.
    """
    if not _is_standby(connection):
        return False
    if not may_be:
        raise RetryError(NO_STANDBY, reason="standby")
    if reason := too_old(connection):
        raise SourceError(reason)
    return True


def too_old(connection: Connection) -> str | None:
    """Why this version can't be followed as a standby; None if it can."""
    version = connection.info.server_version
    if version >= STANDBY_VERSION:
        return None
    return (
        f"the server is a standby of PostgreSQL {version // 10000}, which can't be followed: "
        "standbys decode their log from 16 on. Let source.dsn lead to the primary, and take "
        "source.primary_dsn away"
    )


def require_primary(connection: Connection) -> None:
    """Raise RetryError on a standby, for those who could do nothing with one."""
    if _is_standby(connection):
        raise RetryError(
            "the server is a standby, and its primary is needed: let the connection string lead "
            "there (several hosts: host=a,b target_session_attrs=read-write). Whether a server is "
            "one: select pg_is_in_recovery()",
            reason="standby",
        )


def _is_standby(connection: Connection) -> bool:
    with mapped_errors("look whether the server is a standby"):
        [(is_standby,)] = connection.execute(_IS_STANDBY)
    return bool(is_standby)


def require_server(
    connection: Connection, expected: Timeline | None, *, is_standby: bool | None = False
) -> None:
    """Raise RetryError if the server isn't what is streamed from. None: it may be either.

    A standby doesn't say which timeline it is in, and goes on from one to the next by itself.
    """
    found = look_for_standby(connection, may_be=is_standby is not False)
    if is_standby not in {None, found}:
        raise RetryError("the standby has been promoted", reason="failover")
    if not found:
        _require_timeline(connection, expected)


def _require_timeline(connection: Connection, expected: Timeline | None) -> None:
    with mapped_errors("look which timeline the server is in"):
        [(number,)] = connection.execute(_TIMELINE)
    if expected is not None and int(number, 16) != expected.number:
        raise RetryError(
            f"the server is in timeline {int(number, 16)}, and the stream in {expected.number}: a "
            "failover is under way",
            reason="failover",
        )


def shared_until(
    replication: Connection, other: Timeline, *, may_be_standby: bool = False
) -> Position:
    """Up to where the server's history is `other`; NOWHERE if it isn't at all.

    Where it still is, that is the end of its log. Raises RetryError on a server that `other` has
    left behind: its log says nothing of what came after.
    """
    here = identify(replication, may_be_standby=may_be_standby)
    if here.timeline == other:
        if here.is_standby:
            _require_whole_log(replication)
            return _identified(replication)[1]
        return here.end
    if here.timeline.system != other.system:
        return NOWHERE
    if here.timeline.number < other.number:
        raise RetryError(
            f"the server is in timeline {here.timeline.number}, and timeline {other.number} of the "
            "same system has been followed already: it is the primary from before a failover. Let "
            "source.dsn lead to the new one. If it was restored on purpose, run cdc-daemon slot "
            "drop and start again: everything is loaded anew",
            reason="left_behind",
        )
    return places_left(timeline_history(replication, here.timeline)).get(other.number, NOWHERE)


def _require_whole_log(replication: Connection) -> None:
    """A standby that has crashed knows how much it has of its log only once it asks for more."""
    deadline = time.monotonic() + FOLLOWS_WITHIN_SECONDS
    while not _follows(replication):
        if time.monotonic() >= deadline:
            raise RetryError(
                "the standby is not connected to its primary, or still replays what it had "
                "received before it was started: how far its log goes isn't known until then. What "
                "it waits for is in its log; it is set up by primary_conninfo and "
                "primary_slot_name",
                reason="standby",
            )
        time.sleep(LOOK_SECONDS)


def _follows(replication: Connection) -> bool:
    with mapped_errors("look whether the standby follows its primary"):
        [(follows,)] = replication.execute(_FOLLOWS, prepare=False)
    return bool(follows)


def timeline_history(replication: Connection, timeline: Timeline) -> str:
    """Where those before it were left: for `places_left`."""
    if timeline.number == FIRST_TIMELINE:
        return ""  # it has no such file
    with mapped_errors("read the history of the server's timelines"):
        command = f"TIMELINE_HISTORY {timeline.number}".encode()
        found = replication.execute(command).fetchone()
    content = b"" if found is None else found[1]
    return content.decode() if isinstance(content, bytes) else str(content)
