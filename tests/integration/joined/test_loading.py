"""Rows that were there before the daemon: loaded into the state beside writers, then written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.joined.conftest import HOTELS
from tests.integration.joined.test_stream import FIRST

if TYPE_CHECKING:
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon


def test_rows_that_are_there_are_loaded(store: Store, start_daemon: StartDaemon) -> None:
    """Each document is written once, and shown when all are."""
    store.execute(*FIRST)
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    assert store.assert_equal(daemon) == 300
