"""One node of Kafka that is broker and controller (KRaft): its program, settings and folder."""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cdc_daemon.embedded.account import server_account
from cdc_daemon.embedded.jars import class_path
from cdc_daemon.embedded.java import QUICK_START, java_home
from cdc_daemon.embedded.kafka_jars import KAFKA, KAFKA_VERSION
from cdc_daemon.embedded.kafka_users import ADMINISTRATOR, ANYBODY, Access
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.process import Launch
from cdc_daemon.embedded.progress import MEGABYTE, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BROKER = "kafka.Kafka"
NODE_ID = 1
DATA = "data"
"""The folder of its log, in its own."""
CONFIGURATION = "server.properties"
READY_TIMEOUT_SECONDS = 5.0

LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
)

SETTINGS: dict[str, str | int | bool] = {
    "process.roles": "broker,controller",
    "node.id": NODE_ID,
    "controller.listener.names": "CONTROLLER",
    # A topic that is missing stays so, as on servers that are looked after.
    "auto.create.topics.enable": False,
    # One node holds every copy.
    "offsets.topic.replication.factor": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    # The broker's own topics: 50 partitions each would be files that nobody needs.
    "offsets.topic.num.partitions": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "transaction.state.log.num.partitions": 1,
    # The first member of a group doesn't wait for others that may come.
    "group.initial.rebalance.delay.ms": 0,
    # After SIGKILL the node is let in again when its old session is over: 9 s are long in a test.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    # Compaction would take 128 MB of the heap.
    "log.cleaner.dedupe.buffer.size": 4 * MEGABYTE,
}


@dataclass(frozen=True, slots=True)
class KafkaProgram:
    """The Java runtime and the libraries that are Kafka."""

    java: Path
    jars: list[Path]

    def command(
        self, main: str, folder: Path, heap: str, *options: str, arguments: list[str | Path]
    ) -> list[str | Path]:
        """What starts its program `main` in `folder`; `options` are Java's."""
        return [
            self.java,
            f"-Xmx{heap}",
            "-XX:+UseSerialGC",
            *QUICK_START,
            *options,
            "-XX:+ExitOnOutOfMemoryError",
            "--sun-misc-unsafe-memory-access=allow",
            f"-XX:ErrorFile={folder / 'java-crash.log'}",
            f"-Djava.io.tmpdir={folder / 'tmp'}",
            *LOGGING,
            "-cp",
            ":".join(map(str, self.jars)),
            main,
            *arguments,
        ]


def kafka_program(progress: Progress) -> KafkaProgram:
    """Kafka as it is in the cache; fetched at first. Raises EmbeddedError as `fetched` does."""
    return KafkaProgram(java_home(progress) / "bin" / "java", class_path(KAFKA, progress))


def kafka_launch(
    program: KafkaProgram,
    folder: Path,
    port: int,
    *,
    heap: str,
    options: Sequence[str],
    access: Access = ANYBODY,
) -> Launch:
    """How the node in `folder` is started; `options` are Java's."""
    administrator = {
        "bootstrap.servers": f"{HOST}:{port}",
        "log_level": 0,
        **access.client_settings(ADMINISTRATOR),
    }
    return Launch(
        name=f"Kafka {KAFKA_VERSION}",
        command=program.command(BROKER, folder, heap, *options, arguments=[folder / CONFIGURATION]),
        folder=folder,
        port=port,
        account=server_account(),
        is_ready=lambda: _listens(port) and _answers(administrator),
        stop_signals=(signal.SIGTERM,),
        environment={"HOME": str(folder)},
    )


def configure(launch: Launch, extra: Mapping[str, Any], access: Access = ANYBODY) -> None:
    """Write what the node reads when it starts, and make its folders."""
    folder = launch.folder
    listener = f"{access.protocol}://{HOST}:{launch.port}"
    controller = f"{HOST}:{free_port(other_than=launch.port)}"
    settings = {
        **SETTINGS,
        "listeners": f"{listener},CONTROLLER://{controller}",
        "advertised.listeners": listener,
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": folder / DATA,
        **access.broker_settings(),
        **extra,
    }
    for name in (DATA, "tmp"):
        (folder / name).mkdir(exist_ok=True)
    lines = [f"{name}={_written(value)}\n" for name, value in settings.items()]
    (folder / CONFIGURATION).write_text("".join(lines))


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listens(port: int) -> bool:
    """Asked first: librdkafka would wait longer between two tries than we like to."""
    try:
        socket.create_connection((HOST, port), timeout=READY_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def _answers(administrator: Mapping[str, Any]) -> bool:
    from confluent_kafka import KafkaException  # noqa: PLC0415 - costs 0.1 s, and only this needs it
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - as above

    admin = AdminClient(dict(administrator))
    try:
        return bool(admin.list_topics(timeout=READY_TIMEOUT_SECONDS).brokers)
    except KafkaException:
        return False
