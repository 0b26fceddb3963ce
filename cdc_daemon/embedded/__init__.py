"""Starts real servers from packages: no root, no Docker, nothing to install on the system.

    with embedded.postgres(version=18) as source, embedded.opensearch(heap="768m") as sink:
        print(source.dsn, sink.url)

Made for the demo, the tests and the benchmarks; not for production. Tried on Linux x86_64 with
glibc. macOS (arm64) has all packages, but is not tried; Linux aarch64 has PostgreSQL's, but no Java
runtime; Alpine has none; Windows can use its Subsystem for Linux.
"""

import sys

from cdc_daemon.embedded.errors import EmbeddedError

if sys.platform == "win32":
    raise EmbeddedError(
        "Embedded servers run on Linux and macOS. On Windows use the Windows Subsystem for Linux, "
        "or servers of your own."
    )

from cdc_daemon.embedded.kafka_server import KafkaServer, kafka
from cdc_daemon.embedded.opensearch_server import OpenSearchServer, opensearch
from cdc_daemon.embedded.postgres_binaries import system_binaries
from cdc_daemon.embedded.postgres_server import PostgresServer, postgres
from cdc_daemon.embedded.process import Server
from cdc_daemon.embedded.rabbitmq_server import RabbitServer, rabbitmq, rabbitmq_is_installed

__all__ = [
    "EmbeddedError",
    "KafkaServer",
    "OpenSearchServer",
    "PostgresServer",
    "RabbitServer",
    "Server",
    "kafka",
    "opensearch",
    "postgres",
    "rabbitmq",
    "rabbitmq_is_installed",
    "system_binaries",
]
