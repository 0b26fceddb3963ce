"""Waits until a search finds every change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from daemon_process import Daemon
    from search import Search
    from workload import Expected

GIVE_UP_SECONDS: Final = 1800.0
UPDATED: Final[dict[str, Any]] = {"term": {"active": False}}


def wait(search: Search, daemon: Daemon, expected: Expected, poll_seconds: float = 0.1) -> None:
    """Return when every document is found in its last state.

    Raises RuntimeError if the daemon ends, or after half an hour.
    """
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while (
        search.count(daemon.name, UPDATED) < expected.updated
        or search.count(daemon.name) < expected.documents
    ):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not all changes arrived:\n{daemon.log()[-3000:]}")
        time.sleep(poll_seconds if daemon.pid else 0)
