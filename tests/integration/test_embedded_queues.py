"""Embedded message queues are real ones: what they acknowledged survives crashes."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cdc_daemon import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS = 60.0


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that the servers' account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-test-"))
    folder.chmod(0o755)
    yield folder / "data"
    shutil.rmtree(folder)


def quiet(_: str) -> None:
    """Progress isn't what is tested here."""


def new_topic(server: embedded.KafkaServer) -> str:
    """A topic with one partition, and a name of its own."""
    name = f"test-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
    admin.create_topics([NewTopic(name, 1)])[name].result(WAIT_SECONDS)
    return name


def produce(server: embedded.KafkaServer, topic: str, *values: str) -> None:
    """Write one transaction, and return when it is committed."""
    producer = Producer(
        {"bootstrap.servers": server.bootstrap_servers, "transactional.id": f"writer of {topic}"}
    )
    producer.init_transactions(WAIT_SECONDS)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value=value)
    producer.commit_transaction(WAIT_SECONDS)


def consume(server: embedded.KafkaServer, topic: str, count: int) -> list[str]:
    """The first `count` values of a topic, as a new group reads them."""
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    messages = consumer.consume(count, WAIT_SECONDS)
    consumer.close()
    return [(message.value() or b"").decode() for message in messages]


def test_kafka_keeps_transactions_through_a_crash(kafka: embedded.KafkaServer) -> None:
    """What was committed is there after SIGKILL, freezing and a restart, at the same address."""
    address = kafka.bootstrap_servers
    topic = new_topic(kafka)
    produce(kafka, topic, "one", "two")
    kafka.kill()
    assert kafka.pid is None
    kafka.start()
    assert kafka.bootstrap_servers == address
    produce(kafka, topic, "three")
    kafka.pause()
    kafka.resume()
    assert consume(kafka, topic, 3) == ["one", "two", "three"]
    assert Path(f"/proc/{kafka.pid}").stat().st_uid != 0


def test_kafka_makes_no_topic_by_itself(kafka: embedded.KafkaServer) -> None:
    """A topic that isn't there stays away, whoever asks for it."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    found = admin.list_topics("missing", timeout=WAIT_SECONDS)
    error = found.topics["missing"].error
    assert error
    assert error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_kafka_keeps_its_data_folder(data: Path) -> None:
    """Data of one run is there in the next, on another port, with its settings."""
    with embedded.kafka(data=data, progress=quiet) as server:
        cluster = cluster_id(server)
        topic = new_topic(server)
        produce(server, topic, "kept")
    with embedded.kafka(data=data, settings={"message.max.bytes": 2000}, progress=quiet) as server:
        assert cluster_id(server) == cluster
        assert consume(server, topic, 1) == ["kept"]
        with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
            produce(server, topic, "x" * 3000)


def cluster_id(server: embedded.KafkaServer) -> str:
    """What the cluster calls itself, for good."""
    admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
    return str(admin.list_topics(timeout=WAIT_SECONDS).cluster_id)
