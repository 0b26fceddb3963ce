"""Kafka as a relay's sink: changes as Debezium's messages, and the ordered log."""

from connectors.kafka.relay.sink import KafkaRelay

__all__ = ["KafkaRelay"]
