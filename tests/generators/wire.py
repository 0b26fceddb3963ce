"""A wire between a process and a server, which can be cut: nothing comes through then.

Nobody is told. What was on its way comes late, once the wire is whole again.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cdc_daemon.embedded.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

BYTES = 65_536
"""Carried at a time."""


class Wire(socketserver.ThreadingTCPServer):
    """From a port of its own to another one."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, target_port: int) -> None:
        super().__init__((HOST, 0), socketserver.BaseRequestHandler)
        self.target_port = target_port
        """Where it ends."""
        self._whole = threading.Event()
        self._whole.set()

    @property
    def port(self) -> int:
        """Where it begins."""
        return int(self.server_address[1])

    def cut(self) -> None:
        """From now on nothing comes through."""
        self._whole.clear()

    def mend(self) -> None:
        """Everything comes through, what waited first. Safe to call twice."""
        self._whole.set()

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Carry what comes by one connection, both ways."""
        with suppress(OSError), socket.create_connection((HOST, self.target_port)) as target:
            back = threading.Thread(target=self._carry, args=(target, request), daemon=True)
            back.start()
            self._carry(request, target)
            back.join()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(BYTES):
                self._whole.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to a port of this machine, for as long as the context lasts."""
    with Wire(port) as wire:
        thread = threading.Thread(target=wire.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield wire
        finally:
            wire.shutdown()
            wire.mend()
            thread.join()
