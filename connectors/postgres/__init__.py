"""PostgreSQL as a source: logical replication with pgoutput."""

from connectors.postgres.source import PostgresSource

__all__ = ["PostgresSource"]
