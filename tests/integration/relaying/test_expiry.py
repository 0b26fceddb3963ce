"""Kafka transactions that take longer than brokers let them: tried again, but not for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import SinkError, StartAgainError
from connectors.kafka.relay.config import KafkaRelayConfig
from connectors.kafka.relay.envelope import Message
from connectors.kafka.relay.producing import BUFFER_KILOBYTES, Transactions
from tests.generators.topics import make_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartKafka

TOPIC = "hotels"
SMALL = Message(TOPIC, b"1", b"x")
LARGE = Message(TOPIC, b"1", bytes(900_000))
MORE_THAN_THE_BUFFER = BUFFER_KILOBYTES * 1024 // 900_000 + 2
TIMEOUT_SECONDS = 2.0
WAIT_SECONDS = 60.0
OFTEN = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": 200}


@pytest.fixture
def transactions(private_kafka: StartKafka) -> Iterator[Transactions]:
    """Of two seconds, which brokers look at often."""
    server = private_kafka(settings=OFTEN)
    make_topics(server.bootstrap_servers, [TOPIC])
    section = {"type": "kafka", "bootstrap_servers": server.bootstrap_servers}
    config = KafkaRelayConfig.model_validate(section)
    short = config.model_copy(update={"transaction_timeout": TIMEOUT_SECONDS})
    made = Transactions(short, "relay")
    yield made
    made.close()


def write_until_it_fails(transactions: Transactions, messages: int) -> None:
    """A transaction of so many large messages, which nobody ends."""
    transactions.open()
    for _ in range(messages):
        transactions.write(LARGE)
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        transactions.write(SMALL)
        time.sleep(0.05)


def test_a_transaction_that_is_too_large_twice_is_a_stop(transactions: Transactions) -> None:
    """It comes again and again: so it is said what to raise. One that was ended begins anew."""
    for _ in range(2):
        with pytest.raises(StartAgainError, match=r"though .* MB of it were written: it is tried"):
            write_until_it_fails(transactions, MORE_THAN_THE_BUFFER)
        transactions.open()
        transactions.write(SMALL)
        transactions.end(lambda: None)
    with pytest.raises(StartAgainError):
        write_until_it_fails(transactions, MORE_THAN_THE_BUFFER)
    with pytest.raises(SinkError, match=r"raise `transaction_timeout`.*transaction\.max\.timeout"):
        write_until_it_fails(transactions, MORE_THAN_THE_BUFFER)


def test_one_that_is_small_was_kept_by_brokers(transactions: Transactions) -> None:
    """They were away: it is tried for as long as it takes."""
    for _ in range(3):
        with pytest.raises(StartAgainError, match="longer than transaction_timeout"):
            write_until_it_fails(transactions, 1)
