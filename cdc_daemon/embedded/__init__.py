"""Starts real servers from packages: no root, no Docker, nothing to install on the system.

    with embedded.postgres(version=18) as source, embedded.opensearch(heap="768m") as sink:
        print(source.dsn, sink.url)

Made for the demo, the tests and the benchmarks; not for production.
"""

from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.opensearch_server import OpenSearchServer, opensearch
from cdc_daemon.embedded.postgres_binaries import system_binaries
from cdc_daemon.embedded.postgres_server import PostgresServer, postgres
from cdc_daemon.embedded.process import Server

__all__ = [
    "EmbeddedError",
    "OpenSearchServer",
    "PostgresServer",
    "Server",
    "opensearch",
    "postgres",
    "system_binaries",
]
