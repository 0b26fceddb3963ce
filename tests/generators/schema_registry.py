"""A real schema registry: Apicurio's, which speaks Confluent's interface as well."""

from __future__ import annotations

import shutil
import signal
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.cache import cached
from cdc_daemon.embedded.fetch import Archive, fetched
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.java import QUICK_START, java_home
from cdc_daemon.embedded.memory import require_memory, size_of
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.process import Launch, Server
from cdc_daemon.embedded.progress import MEGABYTE
from tests.generators.rest import Refused, Rest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARCHIVE: Final = Archive(
    group="io.apicurio",
    artifact="apicurio-registry-app",
    version="3.3.3",
    classifier="all",
    packaging="tar.gz",
    sha256="8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63",
    download_bytes=158_577_952,
    unpacked_bytes=180_000_000,
)
HEAP: Final = "256m"
OUTSIDE_HEAP_BYTES: Final = 250 * MEGABYTE
DATA_BYTES: Final = 10 * MEGABYTE
START_SECONDS: Final = 240.0
"""It loads thousands of classes, and CI has two cores for two tests."""
CONFLUENT: Final = "/apis/ccompat/v7"
"""Where the interface is that Confluent's registry has."""
OWN: Final = "/apis/registry/v2"
"""Where its own is, which its converter for Kafka Connect speaks."""


class RegistryServer(Server):
    """Knows schemas for as long as it runs: they are in its memory."""

    @property
    def url(self) -> str:
        """What `source.schema_registry.url` is."""
        return f"http://{HOST}:{self.port}{CONFLUENT}"

    @property
    def own_url(self) -> str:
        """What its converter is given."""
        return f"http://{HOST}:{self.port}{OWN}"

    def register(self, subject: str, schema: str, **more: Any) -> int:
        """Make a schema known; its id. `more`: `schemaType`, `references`."""
        rest = Rest(f"http://{HOST}:{self.port}")
        said = {"schema": schema, **more}
        found: int = rest.post(f"{CONFLUENT}/subjects/{subject}/versions", said)["id"]
        return found


@contextmanager
def schema_registry() -> Iterator[RegistryServer]:
    """Run one for as long as the context lasts; it is ready when the context begins."""
    require_memory("the schema registry", size_of(HEAP) + OUTSIDE_HEAP_BYTES)
    with (
        server_folder("registry", None, server_account(), DATA_BYTES) as folder,
        RegistryServer(_launch(_program(), folder), _quiet) as server,
    ):
        server.start()
        yield server


def _program() -> Path:
    """Where it is unpacked; fetched at first."""

    def make(folder: Path) -> None:
        download = folder / "download"
        with tarfile.open(fetched(ARCHIVE, download, _quiet)) as content:
            content.extractall(folder, filter="data")
        shutil.rmtree(download, ignore_errors=True)

    needed = ARCHIVE.download_bytes + ARCHIVE.unpacked_bytes
    return cached(f"{ARCHIVE.name}-{ARCHIVE.sha256[:12]}", needed, make)


def _launch(program: Path, folder: Path) -> Launch:
    port = free_port()
    (folder / "tmp").mkdir(exist_ok=True)
    give(folder, server_account())
    return Launch(
        name=f"Apicurio Registry {ARCHIVE.version}",
        command=[
            java_home(_quiet) / "bin" / "java",
            f"-Xmx{HEAP}",
            "-XX:+UseSerialGC",
            *QUICK_START,
            f"-Djava.io.tmpdir={folder / 'tmp'}",
            f"-Dquarkus.http.host={HOST}",
            f"-Dquarkus.http.port={port}",
            "-jar",
            program / "quarkus-run.jar",
        ],
        folder=folder,
        port=port,
        account=server_account(),
        is_ready=lambda: _is_ready(port),
        stop_signals=(signal.SIGTERM,),
        start_seconds=START_SECONDS,
        environment={"HOME": str(folder)},
    )


def _is_ready(port: int) -> bool:
    try:
        Rest(f"http://{HOST}:{port}").get(f"{CONFLUENT}/schemas/types")
    except (OSError, Refused):
        return False
    return True


def _quiet(_: str) -> None:
    """The first line of a log is enough."""
