"""Starts a real Kafka on 127.0.0.1: one node, on a Java runtime from a Python package."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.kafka_node import DATA, configure, kafka_launch, kafka_program
from cdc_daemon.embedded.kafka_prepared import prepared
from cdc_daemon.embedded.memory import require_memory, size_of
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.process import Server
from cdc_daemon.embedded.progress import MEGABYTE, Progress, to_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DATA_BYTES = 200 * MEGABYTE
"""An empty node writes far less."""
OUTSIDE_HEAP_BYTES = 150 * MEGABYTE
"""Java takes this on top of the heap: code, threads, buffers."""


class KafkaServer(Server):
    """A Kafka broker that was started here. Neither TLS nor users, unless its settings say so."""

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it: `127.0.0.1:PORT`."""
        return f"{HOST}:{self.port}"


@contextmanager
def kafka(
    *,
    data: Path | None = None,
    heap: str = "256m",
    port: int | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = to_stderr,
) -> Iterator[KafkaServer]:
    """Run Kafka for as long as the context lasts; it is ready when the context begins.

    `data`: its folder, kept for the next time; None is a temporary one. `heap`: as Java writes it.
    `settings`: lines for server.properties. Raises EmbeddedError, which says what to do.
    """
    require_memory("Kafka", size_of(heap) + OUTSIDE_HEAP_BYTES)
    program = kafka_program(progress)
    ready = prepared(program, progress)
    account = server_account()
    with server_folder("kafka", data, account, DATA_BYTES) as folder:
        launch = kafka_launch(program, folder, heap, port or free_port(), ready.options)
        configure(launch, settings or {})
        ready.format(folder / DATA)
        give(folder, account)
        with KafkaServer(launch, progress) as server:
            server.start()
            yield server
