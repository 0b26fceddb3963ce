"""Embedded message queues are real ones: what they acknowledged survives crashes."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from pika.exceptions import AMQPChannelError, AMQPConnectionError, ChannelClosedByBroker

from cdc_daemon import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartKafka

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
    admin = AdminClient(server.client_settings())
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


def test_kafka_knows_users(private_kafka: StartKafka) -> None:
    """With users nobody gets in without a password, and each may what they were given."""
    server = private_kafka(users=("reader",))
    topic = new_topic(server)
    everything = AclBinding(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        "User:reader",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    administrator = AdminClient(server.client_settings())
    administrator.create_acls([everything])[everything].result(WAIT_SECONDS)
    reader = AdminClient(server.client_settings("reader"))
    assert list(reader.list_topics(timeout=WAIT_SECONDS).topics) == [topic]
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        reader.create_topics([NewTopic("more", 1)])["more"].result(WAIT_SECONDS)
    errors: list[KafkaError] = []
    stranger = {**server.client_settings("reader"), "sasl.password": "guess"}
    consumer = Consumer({**stranger, "group.id": "strangers", "error_cb": errors.append})
    consumer.subscribe([topic])
    deadline = time.monotonic() + WAIT_SECONDS
    while not errors and time.monotonic() < deadline:
        consumer.poll(0.1)
    consumer.close()
    assert errors[0].code() == KafkaError._AUTHENTICATION


def cluster_id(server: embedded.KafkaServer) -> str:
    """What the cluster calls itself, for good."""
    admin = AdminClient(server.client_settings())
    return str(admin.list_topics(timeout=WAIT_SECONDS).cluster_id)


@pytest.mark.parametrize("kind", ["quorum", "stream"])
def test_rabbitmq_keeps_messages_through_a_crash(
    kind: str, rabbitmq: embedded.RabbitServer
) -> None:
    """What was confirmed is there after SIGKILL, freezing and a restart, at the same address."""
    queue = f"test-{uuid.uuid4().hex}"
    with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})
        channel.basic_publish("", queue, b"kept", pika.BasicProperties(delivery_mode=2))
    rabbitmq.save_queues()
    rabbitmq.kill()
    rabbitmq.start()
    rabbitmq.pause()
    rabbitmq.resume()
    assert first_of(rabbitmq, queue, kind) == b"kept"
    assert Path(f"/proc/{rabbitmq.pid}").stat().st_uid != 0


def first_of(server: embedded.RabbitServer, queue: str, kind: str) -> bytes:
    """The first message of a queue, which takes a moment to come to itself after a crash."""
    deadline = time.monotonic() + WAIT_SECONDS
    offset = {"x-stream-offset": "first"} if kind == "stream" else {}
    while time.monotonic() < deadline:
        try:
            with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
                channel = connection.channel()
                channel.basic_qos(prefetch_count=1)
                for _, _, body in channel.consume(queue, arguments=offset, inactivity_timeout=1):
                    if body is not None:
                        return bytes(body)
                    break
        except (AMQPConnectionError, AMQPChannelError):
            time.sleep(0.1)
    return b"nothing came"


def test_rabbitmq_knows_users(rabbitmq: embedded.RabbitServer) -> None:
    """A user may do what they were given, and nothing else."""
    rabbitmq.add_user("reader", "secret", read="^allowed$")
    parameters = pika.URLParameters(rabbitmq.url)
    with pika.BlockingConnection(parameters) as connection:
        connection.channel().queue_declare("allowed", exclusive=False, auto_delete=False)
    parameters.credentials = pika.PlainCredentials("reader", "secret")
    with pika.BlockingConnection(parameters) as connection:
        assert connection.channel().basic_get("allowed") == (None, None, None)
        with pytest.raises(ChannelClosedByBroker, match="refused for user 'reader'"):
            connection.channel().queue_declare("other")
