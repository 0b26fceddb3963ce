"""The real Debezium: Kafka Connect with its connector for PostgreSQL, beside our own relay."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.jars import class_path
from cdc_daemon.embedded.kafka_node import KafkaProgram, kafka_program
from cdc_daemon.embedded.memory import require_memory, size_of
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.process import Launch, Server
from cdc_daemon.embedded.progress import MEGABYTE
from tests.generators.debezium_jars import AVRO_JARS, DEBEZIUM, DEBEZIUM_VERSION
from tests.generators.rest import Refused, Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

MAIN: Final = "org.apache.kafka.connect.cli.ConnectStandalone"
CONFIGURATION: Final = "worker.properties"
HEAP: Final = "256m"
OUTSIDE_HEAP_BYTES: Final = 150 * MEGABYTE
DATA_BYTES: Final = 10 * MEGABYTE
START_SECONDS: Final = 240.0
"""Connect loads thousands of classes, and CI has two cores for two tests."""
CONNECTOR_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.1
CONVERTER: Final = "org.apache.kafka.connect.json.JsonConverter"

WORKER: Final[dict[str, str | int]] = {
    "key.converter": CONVERTER,
    "value.converter": CONVERTER,
    "offset.flush.interval.ms": 1000,
    # Looks at what jars say of themselves, not into all of their classes.
    "plugin.discovery": "service_load",
}
CONNECTOR: Final[dict[str, str]] = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "plugin.name": "pgoutput",
    "slot.drop.on.stop": "true",
    "publication.autocreate.mode": "all_tables",
    # Truncates are left out unless it is told so.
    "skipped.operations": "none",
    # A mistake ends it at once, instead of after minutes of trying again.
    "errors.max.retries": "0",
    "poll.interval.ms": "50",
    "status.update.interval.ms": "500",
}
WITH_SCHEMAS: Final = {
    "key.converter": CONVERTER,
    "key.converter.schemas.enable": "true",
    "value.converter": CONVERTER,
    "value.converter.schemas.enable": "true",
}
WITHOUT_SCHEMAS: Final = {**WITH_SCHEMAS, **dict.fromkeys(list(WITH_SCHEMAS)[1::2], "false")}
AVRO_CONVERTER: Final = "io.apicurio.registry.utils.converter.AvroConverter"
AVRO: Final = {
    "url": "",
    "auto-register": "true",
    "headers.enabled": "false",
    "as-confluent": "true",
    "use-id": "contentId",
}
"""What the converter is told: the schema's id in front, as Confluent's serializers write it."""
FLATTENED: Final = {
    "transforms": "flatten",
    "transforms.flatten.type": "io.debezium.transforms.ExtractNewRecordState",
}


def avro(registry_url: str) -> dict[str, str]:
    """Settings that have keys and values written in Avro."""
    told = {**AVRO, "url": registry_url}
    return {
        f"{part}.converter{name}": value
        for part in ("key", "value")
        for name, value in {
            "": AVRO_CONVERTER,
            **{f".apicurio.registry.{name}": value for name, value in told.items()},
        }.items()
    }


@dataclass(frozen=True, slots=True)
class Followed:
    """A database that Debezium follows, as it names it."""

    dsn: str
    prefix: str
    """Of its topics; the name of slot, publication and connector as well."""

    @property
    def settings(self) -> dict[str, str]:
        """What the connector is told of it."""
        parts = urlsplit(self.dsn)
        return {
            "database.hostname": str(parts.hostname),
            "database.port": str(parts.port),
            "database.user": unquote(parts.username or ""),
            "database.password": unquote(parts.password or ""),
            "database.dbname": parts.path.removeprefix("/"),
            "topic.prefix": self.prefix,
            "slot.name": self.prefix,
            "publication.name": self.prefix,
        }


class ConnectServer(Server):
    """Kafka Connect in one process; connectors come and go."""

    @contextmanager
    def following(self, followed: Followed, settings: Mapping[str, str]) -> Iterator[None]:
        """Debezium follows a database for as long as the context lasts; rows are read at first."""
        rest = Rest(f"http://{HOST}:{self.port}")
        config = {**CONNECTOR, **followed.settings, **settings}
        rest.post("/connectors", {"name": followed.prefix, "config": config})
        try:
            self.wait(lambda: _is_streaming(followed), followed)
            yield
        finally:
            rest.text("DELETE", f"/connectors/{followed.prefix}")

    def wait(self, condition: Callable[[], bool], followed: Followed) -> None:
        """Wait for something that Debezium will have done; it fails with what has ended it."""
        rest = Rest(f"http://{HOST}:{self.port}")
        deadline = time.monotonic() + CONNECTOR_SECONDS
        while not condition():
            failure = _failure(rest, followed.prefix)
            assert failure is None, failure
            assert time.monotonic() < deadline, "Debezium took too long"
            time.sleep(POLL_SECONDS)


@contextmanager
def debezium(bootstrap_servers: str) -> Iterator[ConnectServer]:
    """Run Kafka Connect for as long as the context lasts; it is ready when the context begins."""
    require_memory("Debezium", size_of(HEAP) + OUTSIDE_HEAP_BYTES)
    kafka = kafka_program(_quiet)
    # Debezium's come first: where both have a library its is the newer one. The converter's are
    # last, and bring what it alone needs.
    program = KafkaProgram(
        kafka.java, [*class_path(DEBEZIUM, _quiet), *kafka.jars, *class_path(AVRO_JARS, _quiet)]
    )
    with server_folder("debezium", None, server_account(), DATA_BYTES) as folder:
        launch = _launch(program, folder)
        _configure(launch, bootstrap_servers)
        with ConnectServer(launch, _quiet) as server:
            server.start()
            yield server


def _launch(program: KafkaProgram, folder: Path) -> Launch:
    port = free_port()
    return Launch(
        name=f"Debezium {DEBEZIUM_VERSION}",
        command=program.command(MAIN, folder, HEAP, arguments=[folder / CONFIGURATION]),
        folder=folder,
        port=port,
        account=server_account(),
        is_ready=lambda: _is_ready(port),
        stop_signals=(signal.SIGTERM,),
        start_seconds=START_SECONDS,
        environment={"HOME": str(folder)},
    )


def _configure(launch: Launch, bootstrap_servers: str) -> None:
    folder = launch.folder
    settings = {
        **WORKER,
        "bootstrap.servers": bootstrap_servers,
        "listeners": f"http://{HOST}:{launch.port}",
        "offset.storage.file.filename": folder / "offsets",
    }
    (folder / "tmp").mkdir(exist_ok=True)
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (folder / CONFIGURATION).write_text("".join(lines))
    give(folder, launch.account)


def _is_ready(port: int) -> bool:
    try:
        Rest(f"http://{HOST}:{port}").get("/connectors")
    except (OSError, Refused):  # it answers before it knows its paths
        return False
    return True


def _failure(rest: Rest, name: str) -> str | None:
    """Why the connector has ended; None while it has not."""
    try:
        tasks: list[dict[str, Any]] = rest.get(f"/connectors/{name}/status")["tasks"]
    except Refused:  # it isn't known yet
        return None
    return next((task["trace"] for task in tasks if task["state"] == "FAILED"), None)


def _is_streaming(followed: Followed) -> bool:
    """Whether rows have been read, and changes come from now on.

    The slot alone doesn't say so: while it is made it is taken as well, and what is written then
    comes with the rows.
    """
    import psycopg  # noqa: PLC0415 - as the embedded servers do

    streaming = """
    select from pg_replication_slots slot join pg_stat_replication sender
        on sender.pid = slot.active_pid
    where slot.slot_name = %s and sender.state in ('catchup', 'streaming')
    """
    with psycopg.connect(followed.dsn) as connection:
        return connection.execute(streaming, [followed.prefix]).fetchone() is not None


def _quiet(_: str) -> None:
    """The first line of a log is enough."""
