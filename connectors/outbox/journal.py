"""The journal of the reader: which position each read has, and what its snapshot saw.

An entry is on disk before the commit of its read is given out, behind its changes. So a read that
comes again has the same changes and the same position, whatever is committed meanwhile; one that
was cut short before has never been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from cdc_daemon.events import Position
from connectors.postgres.visibility import read_snapshot

if TYPE_CHECKING:
    from connectors.postgres.puredriver import PureConnection
    from connectors.postgres.visibility import SnapshotVisibility


class Entry(NamedTuple):
    """One read."""

    position: Position
    seen: str
    """Its snapshot, as the server writes it."""

    @property
    def snapshot(self) -> SnapshotVisibility:
        """What it saw."""
        return read_snapshot(self.seen)

    @property
    def unseen(self) -> str:
        """A condition for changes that it didn't see: what came later, and what was running."""
        return self._or_running(f"xid >= '{self.snapshot.xmax}'::xid8")

    def unseen_until(self, later: Entry) -> str:
        """The same, of changes that a later read sees.

        Of a range of `xid` the server expects few rows even where it has no statistics, as of a
        part that was empty a minute ago, and goes by the index. Of `>=` alone it expects a third,
        and reads the whole part.
        """
        bounds = self.snapshot.xmax, later.snapshot.xmax
        return self._or_running("(xid >= '{}'::xid8 and xid < '{}'::xid8)".format(*bounds))

    def _or_running(self, later: str) -> str:
        running = ",".join(map(str, sorted(self.snapshot.running)))
        return f"({later} or xid = any('{{{running}}}'::xid8[]))" if running else later


class Journal:
    """That of one outbox; every method runs on the session that it is given."""

    def __init__(self, schema: str) -> None:
        self._table = sql.Identifier(schema, "read").as_string()

    def entries(self, session: PureConnection) -> list[Entry]:
        """All that are kept, in the order of their positions."""
        lines = session.rows(
            f"select position, seen from {self._table} order by position",  # noqa: S608 - quoted
            "read the journal of the outbox",
        )
        return [Entry(Position(int(at or 0)), seen or "") for at, seen in lines]

    def insert(self, entry: Entry) -> str:
        """The statement that notes a read."""
        values = f"({entry.position}, '{entry.seen}')"
        return f"insert into {self._table} (position, seen) values {values}"  # noqa: S608 - quoted

    def begin_anew(self, session: PureConnection, entry: Entry) -> None:
        """Keep this one, and nothing from before it."""
        session.rows(
            f"begin; delete from {self._table}; {self.insert(entry)}; commit",  # noqa: S608 - quoted
            "begin the journal of the outbox",
        )

    def give_up(self, session: PureConnection) -> None:
        """Keep nothing."""
        session.rows(f"delete from {self._table}", "give up the outbox")  # noqa: S608 - quoted

    def forget_before(self, session: PureConnection, durable: Position) -> Entry | None:
        """Forget what comes before the last entry at or below `durable`; that entry."""
        lines = session.rows(
            f"select position, seen from {self._table} "  # noqa: S608 - quoted
            f"where position <= {durable} order by position desc limit 1",
            "read the journal of the outbox",
        )
        if not lines:
            return None
        entry = Entry(Position(int(lines[0][0] or 0)), lines[0][1] or "")
        session.rows(
            f"delete from {self._table} where position < {entry.position}",  # noqa: S608 - quoted
            "clean the journal of the outbox",
        )
        return entry
