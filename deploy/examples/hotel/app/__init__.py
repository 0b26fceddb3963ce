"""A booking site on the hotel store: commands go to PostgreSQL, queries to its read models."""
