"""What the tests of joined read models at work share: servers that they may break, and daemons."""

from __future__ import annotations

from tests.integration.pipeline.conftest import (  # the same fixtures, for these tests as well
    opensearch,
    postgres_server,
    rest,
    start_daemon,
)

__all__ = ["opensearch", "postgres_server", "rest", "start_daemon"]
