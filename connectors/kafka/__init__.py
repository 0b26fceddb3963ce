"""Kafka: topics as a source of changes."""
