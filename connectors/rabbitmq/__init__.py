"""RabbitMQ: queues or a stream as a source of changes."""

from connectors.rabbitmq.source import RabbitSource

__all__ = ["RabbitSource"]
