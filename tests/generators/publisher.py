"""An application that publishes to RabbitMQ, and declares what it publishes to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pika import BasicProperties, BlockingConnection, URLParameters
from pika.exceptions import AMQPConnectionError, AMQPError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pika.adapters.blocking_connection import BlockingChannel

QUORUM: dict[str, Any] = {"x-queue-type": "quorum", "x-single-active-consumer": True}
TOPICS = "amq.topic"
STREAM: dict[str, Any] = {"x-queue-type": "stream"}


class Publisher:
    """One connection, made anew where it was lost; what it has published the server has."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._channel: BlockingChannel | None = None

    def declare(self, queue: str, arguments: Mapping[str, Any] = QUORUM) -> None:
        """Make a queue or a stream."""
        self._connected().queue_declare(queue, durable=True, arguments=dict(arguments))

    def delete(self, queue: str) -> None:
        """Drop it, with what is in it."""
        self._connected().queue_delete(queue)

    def purge(self, queue: str) -> None:
        """Drop what waits in it."""
        self._connected().queue_purge(queue)

    def bind(self, queue: str, pattern: str) -> None:
        """Messages with such routing keys go to it."""
        self._connected().queue_bind(queue, TOPICS, pattern)

    def publish(
        self, queue: str, *bodies: object, headers: Mapping[str, Any] | None = None
    ) -> None:
        """One message each, straight to a queue or stream; what isn't bytes is JSON."""
        self._publish("", queue, bodies, headers)

    def announce(self, key: str, *bodies: object, headers: Mapping[str, Any] | None = None) -> None:
        """One message each, to whatever is bound to that routing key."""
        self._publish(TOPICS, key, bodies, headers)

    def _publish(
        self, exchange: str, key: str, bodies: Sequence[object], headers: Mapping[str, Any] | None
    ) -> None:
        properties = BasicProperties(headers=dict(headers or {}), delivery_mode=2)
        for body in bodies:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            try:
                self._connected().basic_publish(exchange, key, content, properties, mandatory=True)
            except AMQPConnectionError:
                self.close()
                self._connected().basic_publish(exchange, key, content, properties, mandatory=True)

    def ready(self, queue: str) -> int:
        """How many messages wait that nobody has been sent."""
        count: int = self._connected().queue_declare(queue, passive=True).method.message_count
        return count

    def answers(self, queue: str) -> bool:
        """Whether it can be published to: not for a while after its server has started."""
        try:
            self.ready(queue)
        except AMQPError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Release the connection; the next call makes another one."""
        channel, self._channel = self._channel, None
        if channel is not None and channel.connection.is_open:
            channel.connection.close()

    def _connected(self) -> BlockingChannel:
        if self._channel is None or not self._channel.is_open:
            self.close()
            parameters = URLParameters(self._url)
            parameters.heartbeat = 0  # nobody looks after it between two calls
            self._channel = BlockingConnection(parameters).channel()
            self._channel.confirm_delivery()
        return self._channel
