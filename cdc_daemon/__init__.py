"""Keep OpenSearch read models true to PostgreSQL, and measure how far behind they are."""

__version__ = "0.1.0"
