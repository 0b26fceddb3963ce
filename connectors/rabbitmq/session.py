"""Connections to RabbitMQ: consumed, acknowledged and woken; and pika's errors as ours.

The only module that knows pika.
"""

from __future__ import annotations

import logging
import ssl
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeGuard

from pika import BlockingConnection, SSLOptions, URLParameters
from pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelClosed,
    ConnectionClosed,
    ConnectionWrongStateError,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from cdc_daemon.errors import RetryError, SourceError
from connectors.messages.tls import tls_context
from connectors.rabbitmq.declared import MOST_ROUNDS, Declared
from connectors.rabbitmq.deliveries import OFFSET, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectors.rabbitmq.config import RabbitConfig

logging.getLogger("pika").setLevel(logging.CRITICAL)  # what it logs as an error it also raises

CONNECT_SECONDS: Final = 10
"""A server that is there answers within milliseconds; one that starts is tried again."""
HANDSHAKE_SECONDS: Final = 15
"""The same, with TLS and authentication, which may ask another server."""
LOOK_SECONDS: Final = 0.05
"""How often it is looked whether a message of a stream has come, while one is waited for."""
_OF_QUEUE: Final = {"x-priority": 0}
"""The default of every queue. A stream refuses it: else it would be read from now on, unasked."""
_REFUSED: Final = 403
_NOT_FOUND: Final = 404
_PRECONDITION_FAILED: Final = 406
_NOT_ALLOWED: Final = 530
_NOT_IMPLEMENTED: Final = 540
_UNUSABLE: Final = frozenset(
    {_REFUSED, _NOT_FOUND, _PRECONDITION_FAILED, _NOT_ALLOWED, _NOT_IMPLEMENTED}
)
"""Answers that no waiting mends."""
_WHILE_CONNECTING: Final = (
    AuthenticationError,
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)
_PASSING: Final = ("down or inaccessible", "timed out", "limit", "unknown delivery tag")
"""What stands in some of those answers that waiting does mend: a node is away, a consumer was given
up because what it had wasn't acknowledged for half an hour, there are too many connections."""


class QueueState(NamedTuple):
    """What a server tells of a queue."""

    ready: int
    """How many messages nobody has been sent."""
    consumers: int


class Session:
    """One connection, with what was consumed on it. One thread owns it, but for `wake`."""

    def __init__(self, config: RabbitConfig, name: str) -> None:
        self._address = config.address
        self._arrived: list[Delivery] = []
        self._cancelled: list[str] = []
        self._queues: dict[str, str] = {}
        """By the name of the consumer."""
        with self._mapped("connect"):
            self._connection = BlockingConnection(_parameters(config, name))
            self._channel = self._connection.channel()
            self._channel.add_on_cancel_callback(self._on_cancel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self, queue: str) -> QueueState:
        """Of a queue or a stream. Raises SourceError where there is none of that name."""
        with self._mapped(f"look at queue {queue}"):
            answer = self._channel.queue_declare(queue, passive=True).method
        return QueueState(answer.message_count, answer.consumer_count)

    def declared(self, queue: str) -> Declared | None:
        """How a queue is declared that is there; None where the server doesn't let us know.

        Nothing happens to it: it is declared as it is, or that is refused.
        """
        declared: Declared | None = Declared()
        for _ in range(MOST_ROUNDS):
            if declared is None:
                break
            channel = self._connection.channel()
            try:
                channel.queue_declare(
                    queue,
                    durable=declared.durable,
                    auto_delete=declared.auto_delete,
                    arguments=declared.arguments,
                )
            except ChannelClosed as refusal:
                declared = declared.corrected(refusal.reply_text)
            else:
                return declared
        return None

    def consume(self, queue: str, prefetch: int, offset: int | str | None = None) -> None:
        """Have messages sent, at most `prefetch` that aren't acknowledged; a stream's from there.

        What `wait` returns from now on may be of it.
        """
        arguments = _OF_QUEUE if offset is None else {OFFSET: offset}
        with self._mapped(f"consume {queue}"):
            self._channel.basic_qos(prefetch_count=prefetch)
            consumer = f"cdc-daemon {len(self._queues)}"
            self._queues[consumer] = queue
            self._channel.basic_consume(
                queue, self._on_message, consumer_tag=consumer, arguments=arguments
            )

    def wait(self, timeout_seconds: float) -> list[Delivery]:
        """What has come; empty after the timeout, or once it is woken. Answers heartbeats.

        Raises RetryError where the connection is lost, or a consumer was ended.
        """
        self._process(timeout_seconds)
        arrived, self._arrived = self._arrived, []
        return arrived

    def waits_for_first(self, timeout_seconds: float) -> bool:
        """Whether anything comes in that time, for `wait` to return."""
        deadline = time.monotonic() + timeout_seconds
        while not self._arrived and time.monotonic() < deadline:
            self._process(LOOK_SECONDS)
        return bool(self._arrived)

    def peek(self, stream: str, place: str, timeout_seconds: float) -> int | None:
        """The first offset of a stream, or of its last block; None where nothing comes in time."""
        found: list[int] = []

        def note(_: Any, __: Any, properties: Any, ___: bytes) -> None:
            found.append(int(properties.headers[OFFSET]))

        deadline = time.monotonic() + timeout_seconds
        with self._mapped(f"look at stream {stream}"):
            channel = self._connection.channel()
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume(stream, note, arguments={OFFSET: place})
            while not found and time.monotonic() < deadline:
                self._connection.process_data_events(LOOK_SECONDS)
            channel.close()
        return found[0] if found else None

    def acknowledge(self, tag: int) -> None:
        """Everything up to that message needn't come again."""
        with self._mapped("acknowledge messages"):
            self._channel.basic_ack(tag, multiple=True)

    def wake(self) -> None:
        """Make a `wait` return. Any thread calls it; harmless where the connection is closed."""
        with suppress(ConnectionWrongStateError):
            self._connection.add_callback_threadsafe(lambda: None)

    def close(self) -> None:
        """What isn't acknowledged goes back to its queue, in its order. Safe to call twice."""
        with suppress(AMQPError, OSError):
            self._connection.close()

    def _process(self, timeout_seconds: float) -> None:
        with self._mapped("read messages"):
            self._connection.process_data_events(timeout_seconds)
            if not self._channel.is_open:
                why = self._channel._closing_reason  # noqa: SLF001 - pika says it nowhere else
                raise why or ConnectionWrongStateError
        if self._cancelled:
            raise RetryError(
                f"RabbitMQ {self._address} sends no more of {', '.join(self._cancelled)}: it was "
                "deleted, or has moved to another node",
                reason="cancelled",
            )

    def _on_message(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        self._arrived.append(
            Delivery(
                method.delivery_tag,
                self._queues[method.consumer_tag],
                method.routing_key,
                body,
                properties.headers or {},
                method.redelivered,
                time.time(),
            )
        )

    def _on_cancel(self, frame: Any) -> None:
        self._cancelled.append(self._queues[frame.method.consumer_tag])

    def _mapped(self, doing: str) -> Any:
        return mapped_errors(doing, self._address)


@contextmanager
def mapped_errors(doing: str, address: str) -> Iterator[None]:
    """Let only the daemon's errors out: lost connections are retried, refusals stop."""
    try:
        yield
    except (AMQPError, OSError) as error:
        raise _mapped(error, doing, address) from error


def _mapped(error: AMQPError | OSError, doing: str, address: str) -> RetryError | SourceError:
    said = f"RabbitMQ {address}: could not {doing}: {_said(error)}"
    if isinstance(error, _WHILE_CONNECTING):
        # A connection that is merely lost in that moment is the same to pika.
        if f"({_REFUSED})" in said:
            return SourceError(f"{said}. Check user and password in source.url")
        if f"({_NOT_ALLOWED})" in said and not _is_passing(said):
            return SourceError(f"{said}. Check the virtual host in source.url")
    if isinstance(error, ssl.SSLCertVerificationError):
        return SourceError(f"{said}. source.tls.ca names the certificates to trust")
    if _is_unusable(error):
        return SourceError(f"{said}. {_REMEDIES.get(error.reply_code, _OTHER_REMEDY)}")
    return RetryError(said)


def _is_unusable(error: AMQPError | OSError) -> TypeGuard[ChannelClosed | ConnectionClosed]:
    return (
        isinstance(error, ChannelClosed | ConnectionClosed)
        and error.reply_code in _UNUSABLE
        and not _is_passing(error.reply_text)
    )


def _is_passing(said: str) -> bool:
    return any(text in said for text in _PASSING)


def _said(error: AMQPError | OSError) -> str:
    if isinstance(error, ChannelClosed | ConnectionClosed):
        return f"{error.reply_text} ({error.reply_code})"
    return " ".join(str(error).split()) or "nothing answers there"


_OTHER_REMEDY: Final = (
    "Check source.url; and that source.queues names queues, source.stream a stream"
)
_REMEDIES: Final[Mapping[int, str]] = {
    _REFUSED: "Give the user the right to read it: rabbitmqctl set_permissions -p VHOST USER "
    "'^$' '^$' '^QUEUE$'",
    _NOT_FOUND: "Declare it, and bind it to the exchange that applications publish to: what they "
    "publish before that is lost. If it was deleted, so is what was in it",
}


def _parameters(config: RabbitConfig, name: str) -> URLParameters:
    tls = None if config.tls is None else tls_context(config.tls, "source.tls")
    parameters = URLParameters(config.url.get_secret_value())
    parameters.heartbeat = int(config.heartbeat)
    parameters.socket_timeout = CONNECT_SECONDS
    parameters.stack_timeout = HANDSHAKE_SECONDS
    parameters.client_properties = {"connection_name": name}
    if tls is not None:
        parameters.ssl_options = SSLOptions(tls, parameters.host)
    return parameters
