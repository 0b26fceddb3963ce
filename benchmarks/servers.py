"""Real servers for a benchmark: PostgreSQL without fsync, OpenSearch as in production."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from search import Search

from cdc_daemon import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded import OpenSearchServer, PostgresServer

HEAP: Final = "2g"


@dataclass(frozen=True, slots=True)
class Servers:
    """Both sides, a connection to each, and a folder for files."""

    source: PostgresServer
    sink: OpenSearchServer
    database: psycopg.Connection
    search: Search
    folder: Path

    @property
    def versions(self) -> str:
        """What runs, for people."""
        return (
            f"PostgreSQL {self.database.info.server_version // 10000} without fsync, "
            f"OpenSearch {self.search.version()} with {HEAP} of heap"
        )


@contextmanager
def servers() -> Iterator[Servers]:
    """Run both for as long as the context lasts."""
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="cdc-bench-")
        folder = Path(stack.enter_context(temporary))
        source = stack.enter_context(embedded.postgres(fsync=False))
        sink = stack.enter_context(embedded.opensearch(heap=HEAP))
        database = stack.enter_context(psycopg.connect(source.dsn, autocommit=True))
        search = Search(sink.url)
        stack.callback(search.close)
        yield Servers(source, sink, database, search, folder)
