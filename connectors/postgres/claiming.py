"""Which position a read has that is one snapshot: what that claims must be true. Pure.

The stream being at a position says that every commit has come whose token lies at or below it. A
client takes its token after COMMIT, as the end of the log. A token below the end that we read
before the snapshot was taken before that, so its commit was visible already. A token at the very
end may belong to a commit that is in the log already, and isn't visible yet: for a moment, or for
long where it waits for a synchronous standby. So the end is claimed only if nobody was about to
commit: read the end, then whether it is quiet, then take the snapshot.
"""

from __future__ import annotations

from typing import Final

from cdc_daemon.events import Position

TOKEN_BYTES: Final = 8
"""Records of the log begin at multiples of this, and so do tokens."""

IS_QUIET: Final = """
select not exists (
  select from pg_catalog.pg_locks
  where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted
    and pid is distinct from pg_catalog.pg_backend_pid())
"""
"""Whether nobody but us holds the number of a transaction: who writes does, until the commit is
visible, and prepared transactions do. A snapshot doesn't list those beyond its end."""


def position_of_read(before: Position, end: Position, *, quiet: bool) -> Position | None:
    """The position of a read, above `before`; None where there is none that claims no more.

    `end`: of the log, before the snapshot (`WalPages.last_end`). `quiet`: what `IS_QUIET` gave
    between the two. There are positions between two tokens for a few reads that claim the same.
    When they are used up, the log has stood still for all of these: read again once it has grown.
    """
    claimed = end if quiet else end - TOKEN_BYTES
    position = max(claimed, before + 1)
    return Position(position) if position < claimed + TOKEN_BYTES else None
