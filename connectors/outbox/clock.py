"""The source's clock, and how much the outbox keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.ports import SlotHealth
from connectors.outbox.objects import PARTS
from connectors.postgres.database import DatabaseClock, holder_of, mapped_errors

if TYPE_CHECKING:
    from cdc_daemon.ports import RetentionBounds

_KEPT: Final = """
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8
from generate_series(0, {parts} - 1) as number
join pg_catalog.pg_class c on c.relname = 'change_' || number
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = {schema}
"""


class OutboxClock(DatabaseClock):
    """A `SourceClock` of a database that keeps an outbox for us."""

    def __init__(
        self, dsn: str, name: str, *, schema: str, lock: str, bounds: RetentionBounds
    ) -> None:
        super().__init__(dsn, name)
        self._schema = schema
        self._lock = lock
        self._bounds = bounds

    def slot_health(self) -> SlotHealth | None:
        """The size of the outbox on the server's disk; whether it is read."""
        connection = self.connected()
        query = sql.SQL(_KEPT).format(parts=sql.Literal(PARTS), schema=sql.Literal(self._schema))
        with mapped_errors("read the size of the outbox"):
            [(kept,)] = connection.execute(query)
        return SlotHealth(
            name=f"outbox {self._schema}",
            active=holder_of(connection, self._lock) is not None,
            retained_bytes=kept,
            unconfirmed_bytes=kept,
            safe_bytes=None,
            bounds=self._bounds,
        )
