"""What `cdc-daemon check` looks at: are queues and streams there, and what do they promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import SourceError
from cdc_daemon.ports import Finding
from connectors.rabbitmq.session import Session
from connectors.rabbitmq.stream import QUIET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.rabbitmq.config import RabbitConfig
    from connectors.rabbitmq.declared import Declared

_ANEW: Final = "What a queue is declared with can't be changed: declare another one, and bind it"

_UNKNOWN: Final = (
    "how it is declared can't be told without the right to configure it. Make sure that it is a "
    "durable quorum queue with x-single-active-consumer, and has a dead-letter exchange where it "
    "has a delivery limit (20 by default from RabbitMQ 4.0 on)"
)


def examine(config: RabbitConfig, name: str) -> Iterator[Finding]:
    """Look at everything. Raises RetryError where the server can't be reached."""
    with Session(config, name):
        yield Finding("connection", "ok", f"RabbitMQ {config.address} lets us in")
    for queue in config.queues:
        yield from _queue(config, name, queue)
    if config.stream is not None:
        yield from _stream(config, name, config.stream)
    yield order(config)


def order(config: RabbitConfig) -> Finding:
    """In which order messages count, and what is shown together."""
    said = "each message is shown by itself"
    if len(config.queues) > 1:
        said += (
            ", and queues have no order among each other: which message of a row is newer, its "
            "version says, and a TRUNCATE becomes a dead letter"
        )
    return Finding(
        "order",
        "ok",
        f"{said}. What rows show together converges, and isn't what the database was at one moment "
        "(docs/reference/rabbitmq.md)",
    )


def _queue(config: RabbitConfig, name: str, queue: str) -> Iterator[Finding]:
    check = f"queue {queue}"
    try:
        with Session(config, name) as session:
            state = session.state(queue)
    except SourceError as error:
        yield Finding(check, "problem", str(error))
        return
    waiting = f"{state.ready} messages wait, {state.consumers} consumers"
    yield Finding(check, "ok", waiting)
    with Session(config, name) as session:
        declared = session.declared(queue)
    yield from _declared(config, check, declared)


def _declared(config: RabbitConfig, check: str, declared: Declared | None) -> Iterator[Finding]:
    if declared is None:
        yield Finding(check, "warning" if config.by_arrival else "ok", _UNKNOWN)
    elif declared.arguments.get("x-queue-type") == "stream":
        yield Finding(check, "problem", "it is a stream: name it in source.stream")
    else:
        for warning in warnings(declared, by_arrival=config.by_arrival):
            yield Finding(check, "warning", warning)


def warnings(declared: Declared, *, by_arrival: bool) -> Iterator[str]:
    """What messages can be lost by, as a queue is declared."""
    given = declared.arguments
    if not declared.durable or declared.auto_delete:
        yield f"it goes away by itself, with the messages in it. {_ANEW}: durable"
    if given.get("x-queue-type", "classic") == "classic":
        yield (
            "it is a classic queue, which one node keeps: its messages are lost with that. "
            f"{_ANEW}: x-queue-type quorum"
        )
    if by_arrival and not given.get("x-single-active-consumer"):
        yield (
            "the order of arrival says which message of a row is newer, and two consumers would "
            f"break it: the daemon refuses to be the second one, others don't. {_ANEW}: "
            "x-single-active-consumer true; or give tables a `version`"
        )
    if "x-dead-letter-exchange" not in given:
        yield from _dropping(declared)


def _dropping(declared: Declared) -> Iterator[str]:
    """What would be lost in silence, since no exchange takes what the queue drops."""
    given = declared.arguments
    if "x-delivery-limit" in given:
        yield (
            f"messages are dropped that have come back {given['x-delivery-limit']} times, as they "
            "do when the daemon is killed or a sink is away for long. Give it a dead-letter "
            'exchange: rabbitmqctl set_policy ... \'{"dead-letter-exchange": "..."}\''
        )
    if "x-message-ttl" in given:
        yield (
            f"messages are dropped that wait for {given['x-message-ttl']} ms, while the daemon is "
            f"away, say. {_ANEW}: without x-message-ttl"
        )
    limits = [name for name in ("x-max-length", "x-max-length-bytes") if name in given]
    if limits and given.get("x-overflow", "drop-head") == "drop-head":
        yield (
            f"the oldest messages are dropped once it is full ({', '.join(limits)}). {_ANEW}: "
            "x-overflow reject-publish"
        )


def _stream(config: RabbitConfig, name: str, stream: str) -> Iterator[Finding]:
    check = f"stream {stream}"
    try:
        with Session(config, name) as session:
            first = session.peek(stream, "first", QUIET_SECONDS)
            last = session.peek(stream, "last", QUIET_SECONDS)
    except SourceError as error:
        yield Finding(check, "problem", str(error))
        return
    if first is None:
        yield Finding(check, "ok", "it has no messages")
        return
    yield Finding(check, "ok", f"it has messages from offset {first} to {last} or some more")
