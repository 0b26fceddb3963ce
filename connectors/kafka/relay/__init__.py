"""Kafka as a relay's sink: changes as Debezium's messages, and the ordered log."""
