"""One address before several servers: each new connection leads to the next of them."""

from __future__ import annotations

import itertools
import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK_BYTES = 65536


@contextmanager
def balancer(urls: Sequence[str]) -> Iterator[str]:
    """The address. All that is sent over one connection goes to one server, as with a Service."""
    following = itertools.cycle([urlsplit(url).port for url in urls])

    class Led(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", next(following))) as server:
                answers = threading.Thread(target=_pass_on, args=(server, self.request))
                answers.start()
                _pass_on(self.request, server)
                answers.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Led) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """Until one of them hangs up; then both do."""
    with suppress(OSError):
        while data := one.recv(CHUNK_BYTES):
            other.sendall(data)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
