"""Connections of the web side: how many it may hold (each is an open file), and which end."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

RESERVED_FILES: Final = 256
"""For everything else: source and sink, the state, the log, what is spilled."""
LEAVE: Final = {"connection": "close"}
"""With an answer that another daemon may better: where several stand behind one address, the next
request of a connection that is kept would come here again."""


def most_connections(wanted: int) -> int:
    """Let this process open as many files as it may; how many connections, of those `wanted`.

    A request that waits holds one. Many systems begin with a limit of 1,024, and allow far more.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems say more than they give
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        allowed = most
    if allowed == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, allowed - RESERVED_FILES))
