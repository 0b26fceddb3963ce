"""Which history a server is in: which system, and which of its timelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import RetryError, SourceError
from cdc_daemon.events import NOWHERE, Position
from connectors.postgres.lsn import parse_lsn
from connectors.postgres.session import mapped_errors
from connectors.postgres.timelines import Timeline, left_at

if TYPE_CHECKING:
    from connectors.postgres.session import Connection

FIRST_TIMELINE: Final = 1
_IS_STANDBY: Final = b"select pg_is_in_recovery()"
# The name of the file that is being written begins with the number of the timeline.
_TIMELINE: Final = b"select left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"


class Identified(NamedTuple):
    """What IDENTIFY_SYSTEM says."""

    timeline: Timeline
    end: Position
    """How far its log is on its disk."""


def identify(replication: Connection) -> Identified:
    """The server's history. Raises RetryError on a standby."""
    require_primary(replication)
    with mapped_errors("identify the server"):
        found = replication.execute(b"IDENTIFY_SYSTEM").fetchone()
    if found is None:
        raise SourceError("the server does not say which system it is")
    return Identified(Timeline(found[0], int(found[1])), parse_lsn(found[2]))


def require_primary(connection: Connection) -> None:
    """Raise RetryError on a standby: it may be promoted at any moment."""
    with mapped_errors("look whether the server is a standby"):
        found = connection.execute(_IS_STANDBY).fetchone()
    if found is None or found[0]:
        raise RetryError(
            "the server is a standby, and is followed only once it is promoted: it makes no "
            "publication, and doesn't tell which transactions are running on its primary. Let "
            "source.dsn lead to the primary (several hosts: host=a,b "
            "target_session_attrs=read-write). Whether a server is one: select pg_is_in_recovery()",
            reason="standby",
        )


def require_timeline(connection: Connection, expected: Timeline | None) -> None:
    """Raise RetryError if the primary is in another timeline: it isn't what is streamed from."""
    with mapped_errors("look which timeline the server is in"):
        [(number,)] = connection.execute(_TIMELINE)
    if expected is not None and int(number, 16) != expected.number:
        raise RetryError(
            f"the server is in timeline {int(number, 16)}, and the stream in {expected.number}: a "
            "failover is under way",
            reason="failover",
        )


def shared_until(replication: Connection, other: Timeline) -> Position:
    """Up to where the server's history is `other`; NOWHERE if it isn't at all.

    Where it still is, that is the end of its log. Raises RetryError on a server that `other` has
    left behind: its log says nothing of what came after.
    """
    here = identify(replication)
    if here.timeline == other:
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
    return left_at(timeline_history(replication, here.timeline), other.number) or NOWHERE


def timeline_history(replication: Connection, timeline: Timeline) -> str:
    """Where those before it were left: for `left_at`."""
    if timeline.number == FIRST_TIMELINE:
        return ""  # it has no such file
    with mapped_errors("read the history of the server's timelines"):
        command = f"TIMELINE_HISTORY {timeline.number}".encode()
        found = replication.execute(command).fetchone()
    content = b"" if found is None else found[1]
    return content.decode() if isinstance(content, bytes) else str(content)
