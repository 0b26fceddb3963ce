"""Messages of the log, fetched by a thread: the reader waits for them and for those who wake it."""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from cdc_daemon.errors import CdcError, RetryError, SourceError, StartAgainError
from connectors.kafka.session import Heard, mapped
from connectors.relay.topic import PARTITION, reader_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import Message

    from connectors.kafka.session import KafkaSection
    from connectors.relay.topic import LogTopic

MOST_MESSAGES: Final = 500
"""Handed over at once: small transactions make some milliseconds of work."""
MOST_KILOBYTES: Final = 16_384
"""What the client fetches ahead, whatever the size of transactions."""
FETCH_MILLISECONDS: Final = 500
"""How long the broker waits for more where nothing is; what comes is sent at once."""
LOOK_SECONDS: Final = 5.0
"""After so long a silence it is looked whether the topic is there, and the very one."""
POLL_SECONDS: Final = 0.2
"""How long a stop is waited for at most."""


class Fetched(NamedTuple):
    """A message as it is in the topic."""

    offset: int
    value: bytes


class Fetching:
    """A thread that fetches from an offset on, until it is stopped."""

    def __init__(
        self,
        section: KafkaSection,
        topic: LogTopic,
        client_id: str,
        *,
        offset: int,
        wake_fd: int,
    ) -> None:
        """`wake_fd`: an eventfd, which is written to when there is something to take."""
        self._topic = topic.name
        self._identity = topic.identity
        self._was = topic.identity()
        self._heard_at = time.monotonic()
        self._heard = Heard()
        self._settings = {
            "queued.max.messages.kbytes": MOST_KILOBYTES,
            "fetch.wait.max.ms": FETCH_MILLISECONDS,
            **reader_settings(section, client_id, self._heard),
        }
        self._offset = offset
        self._wake_fd = os.dup(wake_fd)
        self._ready: queue.Queue[list[Message] | Exception] = queue.Queue(1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log of the relay", daemon=True)
        self._thread.start()

    def take(self) -> Sequence[Fetched]:
        """What has come; empty where nothing has. Raises what has ended the thread."""
        try:
            found = self._ready.get_nowait()
        except queue.Empty:
            return ()
        if isinstance(found, Exception):
            self._ready.put(found)  # for whoever asks again
            raise found
        return [Fetched(int(one.offset() or 0), one.value() or b"") for one in found]

    def stop(self) -> None:
        """End the thread. Safe to call twice."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            consumer = Consumer(self._settings)
            try:
                consumer.assign([TopicPartition(self._topic, PARTITION, self._offset)])
                while not self._stopping.is_set():
                    self._hand_over(self._polled(consumer))
            finally:
                consumer.close()
        except KafkaException as error:
            self._put(mapped(error.args[0], self._what, SourceError, self._heard))
        except (CdcError, Exception) as error:  # noqa: BLE001 - whoever reads would wait for ever
            self._put(error)
        finally:
            os.close(self._wake_fd)

    def _polled(self, consumer: Consumer) -> list[Message]:
        first = consumer.poll(POLL_SECONDS)
        self._require_reachable()
        if first is None:
            self._look_at_topic()
            return []
        self._heard_at = time.monotonic()
        messages = [first, *consumer.consume(MOST_MESSAGES - 1, 0)]
        for at, message in enumerate(messages):
            if (error := message.error()) is not None:
                self._hand_over(messages[:at])
                raise self._of_message(error)
        self._heard.last = None
        return messages

    def _look_at_topic(self) -> None:
        """The client would wait for ever for a topic that was deleted, or made anew."""
        now = time.monotonic()
        if now - self._heard_at < LOOK_SECONDS:
            return
        self._heard_at = now
        if self._identity() != self._was:
            raise StartAgainError(f"topic {self._topic} was deleted, and made anew")

    def _of_message(self, error: KafkaError) -> CdcError:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - librdkafka's own name
            return StartAgainError(
                f"topic {self._topic} doesn't have what comes next any more: its retention has "
                "passed us, or it was made anew"
            )
        return mapped(error, self._what, SourceError, self._heard)

    def _require_reachable(self) -> None:
        """The client goes on trying, in silence: whoever waits is to know."""
        last = self._heard.last
        if self._heard.unusable is not None:
            raise mapped(self._heard.unusable, self._what, SourceError, self._heard)
        if last is not None and last.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the same
            raise RetryError(f"could not {self._what}: {last.str()}", reason="unavailable")

    def _hand_over(self, messages: list[Message]) -> None:
        if messages:
            self._put(messages)

    def _put(self, found: list[Message] | Exception) -> None:
        while not self._stopping.is_set():
            try:
                self._ready.put(found, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            os.eventfd_write(self._wake_fd, 1)
            return

    @property
    def _what(self) -> str:
        return f"read topic {self._topic}"
