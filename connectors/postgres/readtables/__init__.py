"""Read tables: documents in, rows of a PostgreSQL table beside them."""

from connectors.postgres.readtables.sink import ReadTables

__all__ = ["ReadTables"]
