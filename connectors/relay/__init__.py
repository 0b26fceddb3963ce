"""The ordered log of a relay as a source: changes from Kafka, all else from PostgreSQL."""
