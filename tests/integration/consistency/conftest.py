"""What the proofs share: servers that they break, a daemon, and what clients see of it."""

from __future__ import annotations

from tests.integration.pipeline.conftest import (  # noqa: F401 - the fixtures, for all tests here
    rest,
    start_daemon,
)
