"""Starts a real Kafka on 127.0.0.1: one node, on a Java runtime from a Python package."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.kafka_node import DATA, configure, kafka_launch, kafka_program
from cdc_daemon.embedded.kafka_prepared import prepared
from cdc_daemon.embedded.kafka_users import ADMINISTRATOR, ANYBODY, Access
from cdc_daemon.embedded.memory import require_memory, size_of
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.process import Server
from cdc_daemon.embedded.progress import MEGABYTE, Progress, to_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.embedded.process import Launch

DATA_BYTES = 200 * MEGABYTE
"""An empty node writes far less."""
OUTSIDE_HEAP_BYTES = 150 * MEGABYTE
"""Java takes this on top of the heap: code, threads, buffers."""


class KafkaServer(Server):
    """A Kafka broker that was started here."""

    def __init__(self, launch: Launch, access: Access, progress: Progress) -> None:
        super().__init__(launch, progress)
        self._access = access

    @property
    def bootstrap_servers(self) -> str:
        """Where clients find it: `127.0.0.1:PORT`."""
        return f"{HOST}:{self.port}"

    def client_settings(self, user: str = ADMINISTRATOR) -> dict[str, Any]:
        """What librdkafka needs to be `user`; where the broker knows no users, its address."""
        how = self._access.client_settings(user)
        return {"bootstrap.servers": self.bootstrap_servers, **how}


@contextmanager
def kafka(
    *,
    data: Path | None = None,
    heap: str = "256m",
    port: int | None = None,
    settings: Mapping[str, Any] | None = None,
    access: Access = ANYBODY,
    progress: Progress = to_stderr,
) -> Iterator[KafkaServer]:
    """Run Kafka for as long as the context lasts; it is ready when the context begins.

    `data`: its folder, kept for the next time; None is a temporary one. `heap`: as Java writes it.
    `settings`: lines for server.properties. `access`: where it has users, they log in by their name
    and `kafka_users.PASSWORD`, and may what the administrator's rules (ACLs) allow. Raises
    EmbeddedError, which says what to do.
    """
    require_memory("Kafka", size_of(heap) + OUTSIDE_HEAP_BYTES)
    program = kafka_program(progress)
    ready = prepared(program, progress)
    account = server_account()
    with server_folder("kafka", data, account, DATA_BYTES) as folder:
        launch = kafka_launch(
            program, folder, port or free_port(), heap=heap, options=ready.options, access=access
        )
        configure(launch, settings or {}, access)
        ready.format(folder / DATA)
        give(folder, account)
        with KafkaServer(launch, access, progress) as server:
            server.start()
            yield server
