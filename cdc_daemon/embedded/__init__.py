"""Starts real servers from packages: no root, no Docker, nothing to install on the system.

    with embedded.opensearch(heap="768m") as server:
        print(server.url)

Made for the demo, the tests and the benchmarks; not for production.
"""

from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.opensearch_server import OpenSearchServer, opensearch

__all__ = ["EmbeddedError", "OpenSearchServer", "opensearch"]
