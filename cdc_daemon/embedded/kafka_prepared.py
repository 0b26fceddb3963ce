"""What every start of Kafka would do again: format its folder, and load its classes one by one."""

from __future__ import annotations

import base64
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.cache import cached
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.java import java_version
from cdc_daemon.embedded.kafka_jars import KAFKA
from cdc_daemon.embedded.kafka_node import (
    CONFIGURATION,
    DATA,
    NODE_ID,
    KafkaProgram,
    configure,
    kafka_launch,
)
from cdc_daemon.embedded.ports import free_port
from cdc_daemon.embedded.process import Server, run
from cdc_daemon.embedded.progress import MEGABYTE, Progress

if TYPE_CHECKING:
    from pathlib import Path

FORMATTER = "kafka.tools.StorageTool"
HEAP = "256m"
IDENTITY = "meta.properties"
FEATURES = "bootstrap.checkpoint"
"""Which levels of its features a new cluster has: the same for each."""
CLASSES = "classes.aot"
NEEDED_BYTES = 150 * MEGABYTE
STOP_SECONDS = 120.0
"""Java writes its classes while it ends."""
SILENT = "-Xlog:aot*=off"
"""Java has much to say of classes that can't be kept."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A folder of the cache with what a run of Kafka has left."""

    folder: Path

    @property
    def options(self) -> tuple[str, ...]:
        """Java's: with its classes the node is ready in a third of the time and CPU time."""
        return (f"-XX:AOTCache={self.folder / CLASSES}", SILENT)

    def format(self, data: Path) -> None:
        """Make `data` the log of a new cluster, as Kafka's own formatter does in a Java start."""
        identity = data / IDENTITY
        if identity.exists():
            return
        shutil.copyfile(self.folder / FEATURES, data / FEATURES)
        ids = f"cluster.id={_random_id()}\ndirectory.id={_random_id()}\n"
        identity.write_text(f"version=1\nnode.id={NODE_ID}\n{ids}")


def prepared(program: KafkaProgram, progress: Progress) -> Prepared:
    """What saves a start its work; at first Kafka is formatted, started and stopped for it."""

    def make(folder: Path) -> None:
        progress("Kafka: starting it for this once only to keep what it has loaded")
        with server_folder("kafka", None, server_account(), NEEDED_BYTES) as practice:
            _practise(program, practice, progress)
            shutil.copyfile(practice / DATA / FEATURES, folder / FEATURES)
            shutil.copyfile(practice / CLASSES, folder / CLASSES)

    return Prepared(cached(f"{KAFKA.key}-on-{java_version()}", NEEDED_BYTES, make))


def _practise(program: KafkaProgram, folder: Path, progress: Progress) -> None:
    options = (f"-XX:AOTCacheOutput={folder / CLASSES}", SILENT)
    launch = kafka_launch(program, folder, free_port(), heap=HEAP, options=options)
    configure(launch, {})
    give(folder, launch.account)
    arguments: list[str | Path] = ["format", "-t", _random_id(), "-c", folder / CONFIGURATION]
    run(launch, program.command(FORMATTER, folder, HEAP, arguments=arguments))
    with Server(launch, progress) as server:
        server.start()
        server.stop(STOP_SECONDS)


def _random_id() -> str:
    """A UUID in Kafka's form; one that looks like an option is not taken."""
    text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return _random_id() if text.startswith("-") else text
