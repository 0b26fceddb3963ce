"""The side that takes commands: PostgreSQL decides, and no index is asked."""
