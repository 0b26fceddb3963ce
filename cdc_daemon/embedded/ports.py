"""Free TCP ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from cdc_daemon.embedded.errors import EmbeddedError

HOST = "127.0.0.1"
FIRST_PORT = 15_000
LAST_PORT = 32_000
RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
ATTEMPTS = 200


def free_port(*, other_than: int = 0) -> int:
    """Return a port that nobody listens on, and which isn't `other_than`.

    It lies below the range from which outgoing connections take theirs: while a server is stopped
    its port must not go to a client, and a client that tries again and again to reach a stopped
    server in that range sooner or later connects to itself. Raises EmbeddedError if none is free.
    """
    last = min(LAST_PORT, _first_outgoing_port() - 1)
    first = min(FIRST_PORT, last - ATTEMPTS)
    for _ in range(ATTEMPTS):
        port = random.randint(max(first, 1024), last)  # noqa: S311 - not a secret
        if port != other_than and is_free(port):
            return port
    raise EmbeddedError(
        f"No free TCP port was found on {HOST} between {first} and {last}. "
        "Stop some of the programs that listen there, and try again."
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Servers set this too: connections of a stopped one that linger don't matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def require_free(port: int, server: str) -> None:
    """Raise EmbeddedError if `server` could not listen on `port`."""
    if not is_free(port):
        raise EmbeddedError(
            f"{server} can't be started on port {port} of {HOST}: another program listens there "
            f"(see `ss -ltnp 'sport = :{port}'`). Stop that program, or choose another port."
        )


def _first_outgoing_port() -> int:
    try:
        return int(RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return LAST_PORT + 1
