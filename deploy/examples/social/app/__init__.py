"""A social network: commands go to PostgreSQL, queries to its read models."""
