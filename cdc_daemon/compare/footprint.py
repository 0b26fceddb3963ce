"""What a technique has the source's server read, write and keep, by PostgreSQL's own counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

import psycopg

_READ: Final[LiteralString] = """
select
  (select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint
     from pg_stat_user_tables),
  (pg_current_wal_insert_lsn() - '0/0')::bigint,
  (select coalesce(sum(pg_table_size(relid) + pg_indexes_size(relid)), 0)::bigint
     from pg_stat_user_tables where relid <> 'public.booking'::regclass),
  (select coalesce(max(pg_current_wal_insert_lsn() - restart_lsn), 0)::bigint
     from pg_replication_slots where database = current_database())
"""


@dataclass(frozen=True, slots=True)
class Footprint:
    """At one moment; the first two only grow."""

    rows_read: int
    """Of all tables, by everybody, the application too."""
    wal_bytes: int
    """All that was ever written to the log."""
    table_bytes: int
    """Of tables and indexes that the application alone would not have."""
    kept_wal_bytes: int
    """Log that is kept for a replication slot."""

    @property
    def kept_bytes(self) -> int:
        """All that the technique keeps on the source's disk."""
        return self.table_bytes + self.kept_wal_bytes


@dataclass(frozen=True, slots=True)
class PerChange:
    """What one change of the application cost, on an average."""

    rows_read: float
    wal_bytes: float

    def beyond(self, baseline: PerChange) -> PerChange:
        """What comes on top of the application's own."""
        return PerChange(
            max(0.0, self.rows_read - baseline.rows_read),
            max(0.0, self.wal_bytes - baseline.wal_bytes),
        )


def footprint(dsn: str) -> Footprint:
    """As the server counts now."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(_READ).fetchone()
    return Footprint(*row or (0, 0, 0, 0))


def per_change(before: Footprint, after: Footprint, changes: int) -> PerChange:
    """Of so many changes between two moments."""
    divisor = max(1, changes)
    return PerChange(
        max(0, after.rows_read - before.rows_read) / divisor,
        (after.wal_bytes - before.wal_bytes) / divisor,
    )
