"""Kafka: topics as a source of changes."""

from connectors.kafka.source import KafkaSource

__all__ = ["KafkaSource"]
