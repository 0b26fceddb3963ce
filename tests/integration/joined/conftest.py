"""Servers that these tests may break, and daemons on them: those of the tests of the pipeline."""

from __future__ import annotations

from tests.integration.pipeline.conftest import (  # the same fixtures, for these tests as well
    opensearch,
    postgres_server,
    rest,
    start_daemon,
)

__all__ = ["opensearch", "postgres_server", "rest", "start_daemon"]
