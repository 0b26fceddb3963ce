"""Writes to Kafka in transactions: what one holds is seen by all, or by nobody."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from cdc_daemon.errors import CdcError, RetryError, SinkError, StartAgainError, TakenOverError
from connectors.kafka.relay.topics import LOG_BYTES
from connectors.kafka.session import Heard, client_settings, mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.kafka.relay.config import KafkaRelayConfig
    from connectors.kafka.relay.envelope import Message

OPEN_SECONDS: Final = 30.0
"""A transaction that another process has left open is ended first: that takes a moment."""
SLICE_SECONDS: Final = 0.5
"""How long one wait takes, until the source hears from us again."""
ROOM_SECONDS: Final = 0.1
END_SECONDS: Final = 5.0
BUFFER_KILOBYTES: Final = 65_536
"""What may wait for the brokers: some seconds of a busy source."""
LINGER_MILLISECONDS: Final = 5
MOST_EXPIRED: Final = 2
"""Transactions that take too long, one after the other: the same one, since it comes again."""

_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka names its own errors so
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)
_NO_TOPIC: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the same
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - the same
    }
)
_NO_CAUSE: Final = frozenset(
    {
        KafkaError._STATE,  # noqa: SLF001 - the same
        KafkaError._FATAL,  # noqa: SLF001 - the same
    }
)
_TIMED_OUT: Final = KafkaError._TIMED_OUT  # noqa: SLF001 - the same


class Transactions:
    """Of one pipeline: of several processes only the one that opened last can write."""

    def __init__(self, config: KafkaRelayConfig, transactional_id: str) -> None:
        self._config = config
        self._id = transactional_id
        self._heard = Heard()
        self._producer: Producer | None = None
        self._is_begun = False
        self._begun_at = 0.0
        self._expired_large = 0
        """How many transactions have taken too long since one was ended, and not because nothing
        got through."""
        self.meanwhile: Callable[[], None] = lambda: None
        """Called while there is no room."""
        self.held = 0
        """Bytes of the transaction that is open."""
        self.written: Counter[str] = Counter()
        """How many messages of it there are of each topic."""

    def open(self) -> None:
        """Begin anew: what was begun by us or by others is undone."""
        self.close()
        config = self._config
        settings = {
            "compression.type": "lz4",
            "linger.ms": LINGER_MILLISECONDS,
            "queue.buffering.max.kbytes": BUFFER_KILOBYTES,
            "queue.buffering.max.messages": 0,
            **client_settings(config, self._id, self._heard),
            "partitioner": "murmur2_random",  # as Java clients do it, so as Debezium does
            "message.max.bytes": max(config.max_message_bytes, LOG_BYTES),
            "transactional.id": self._id,
            "transaction.timeout.ms": int(config.transaction_timeout * 1000),
        }
        with self._mapped("begin to write"):
            self._producer = Producer(settings)
            self._producer.init_transactions(OPEN_SECONDS)

    def write(self, message: Message) -> None:
        """Add a message to the transaction. Without a key it goes to the first partition."""
        topic, key, value, headers = message
        producer = self._begun()
        while True:
            try:
                if key is None:
                    producer.produce(topic, value, partition=0, headers=headers)
                else:
                    producer.produce(topic, value, key, headers=headers)
                break
            except BufferError:
                producer.poll(ROOM_SECONDS)
                self.meanwhile()
            except KafkaException as error:
                raise self._why(_cause(producer, error), f"write to topic {topic}") from error
        self.held += len(value or b"") + len(key or b"")
        self.written[topic] += 1

    def end(self, meanwhile: Callable[[], None]) -> None:
        """Return once all of the transaction will be seen. Calls `meanwhile` while it waits."""
        producer = self._begun()
        while True:
            try:
                producer.commit_transaction(SLICE_SECONDS)
                break
            except KafkaException as error:
                said = error.args[0]
                if said.txn_requires_abort() or said.fatal() or not _passes(said):
                    raise self._why(said, "end the transaction") from error
            meanwhile()
        self._forget()
        self._expired_large = 0

    def close(self) -> None:
        """Undo what is open. Safe to call twice."""
        producer, self._producer = self._producer, None
        if producer is not None and self._is_begun:
            with suppress(KafkaException):
                producer.abort_transaction(END_SECONDS)
        self._forget()

    def _forget(self) -> None:
        self._is_begun, self.held = False, 0
        self.written = Counter()

    def _begun(self) -> Producer:
        producer = self._producer
        if producer is None:
            raise RetryError("the transactions have not been opened", reason="disconnected")
        if not self._is_begun:
            with self._mapped("begin a transaction"):
                producer.begin_transaction()
            self._is_begun, self._begun_at = True, time.monotonic()
        return producer

    @property
    def _has_expired(self) -> bool:
        """Whether the brokers may have undone the transaction that is open."""
        age = time.monotonic() - self._begun_at
        return self._is_begun and age >= self._config.transaction_timeout

    @contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise self._why(error.args[0], what) from error

    def _why(self, error: KafkaError, what: str) -> Exception:
        code = error.code()
        if self._has_expired and code in _FENCED | {_TIMED_OUT}:
            return self._expired(what)
        if code in _FENCED:
            return TakenOverError(
                f"another daemon has taken over the pipeline: it writes as {self._id} since this "
                "one did, which gives way. If only one is to run, stop the other; if one is to "
                "wait for the other, set standby: true in both"
            )
        if code in _NO_TOPIC:
            return StartAgainError(f"could not {what}: a topic is gone ({error.str()})")
        remedy = self._remedy(code)
        if remedy is not None:
            return SinkError(f"could not {what} ({error.str()}): {remedy}")
        return mapped(error, what, SinkError, self._heard)

    def _remedy(self, code: int) -> str | None:
        """What a person is to do, where no waiting mends it."""
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            return (
                "a row makes a larger message than the topic takes. Nothing is left out: raise "
                "`max_message_bytes` of the sink and `max.message.bytes` of the topic "
                "(kafka-configs --alter --entity-type topics --entity-name TOPIC --add-config "
                "max.message.bytes=N), and start again"
            )
        if code == KafkaError.INVALID_RECORD:
            return (
                "a topic refuses a message. One that is compacted takes none without a key: a "
                "TRUNCATE has none, nor any change of a table without a primary key, nor anything "
                "in the log. Set `truncates: false` of the sink; or, for the log, or a table "
                "without a key, run: "
                "kafka-configs --alter --entity-type topics --entity-name TOPIC --add-config "
                "cleanup.policy=delete; and start again"
            )
        if code == KafkaError.INVALID_TRANSACTION_TIMEOUT:
            return (
                "the brokers allow no transaction as long as `transaction_timeout` "
                f"({self._config.transaction_timeout:g} s): set it to transaction.max.timeout.ms "
                "of the brokers, or raise that"
            )
        return None

    def _expired(self, what: str) -> CdcError:
        """What is larger than the buffer has got through in part: then no broker was away.

        Once it may have been a bad moment; what takes too long again would do so for ever.
        """
        timeout = f"transaction_timeout ({self._config.transaction_timeout:g} s)"
        said = f"could not {what}: the transaction has taken longer than {timeout}"
        if self.held <= BUFFER_KILOBYTES * 1024:
            return StartAgainError(said)
        self._expired_large += 1
        said += f", though {self.held / 1e6:,.0f} MB of it were written"
        if self._expired_large < MOST_EXPIRED:
            return StartAgainError(f"{said}: it is tried once more")
        return SinkError(
            f"{said}. A transaction of the source is too large for that, and it doesn't end in "
            "parts: raise `transaction_timeout` of the sink (and transaction.max.timeout.ms of the "
            "brokers, 15 minutes unless set, to as much), and start again. Until then the source "
            "keeps its log"
        )


def _cause(producer: Producer, error: KafkaException) -> KafkaError:
    """A transaction that has failed takes nothing more; asked to end, it says of what."""
    said: KafkaError = error.args[0]
    if said.code() in _NO_CAUSE:
        try:
            producer.commit_transaction(0)
        except KafkaException as failed:
            said = failed.args[0]
    return said


def _passes(error: KafkaError) -> bool:
    return bool(error.retriable()) or error.code() == _TIMED_OUT
