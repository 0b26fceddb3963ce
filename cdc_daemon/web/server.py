"""Serves the web side from a thread of its own: Starlette by uvicorn."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from cdc_daemon.config.models import WebConfig

log = structlog.get_logger(__name__)

STOP_SECONDS: Final = 2.0
START_SECONDS: Final = 10.0


class WebServer:
    """Listens from `start` to `stop`."""

    def __init__(self, config: WebConfig, application: Starlette) -> None:
        self._config = config
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=int(STOP_SECONDS),
                server_header=False,
            )
        )
        self._thread: threading.Thread | None = None
        self.address = ""
        """`http://host:port` as it is bound."""

    def start(self) -> None:
        """Bind, and serve in the background. Raises StopError when the address can't be bound."""
        host, port = self._config.host, self._config.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            bound = socket.create_server((host, port), family=family)
        except OSError as error:
            raise StopError(
                f"can't listen on {self._config.listen}: {error.strerror}. Another process may use "
                "the port: choose another one in web.listen, or stop that process"
            ) from error
        # asyncio does it for sockets that it makes, and not for this one: without it every answer
        # on a connection that is kept takes 40 ms more. What is accepted inherits it.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        self.address = f"http://{shown}:{bound.getsockname()[1]}"
        self._thread = threading.Thread(
            target=self._server.run, args=([bound],), name="web", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        log.info("listening", address=self.address)

    def stop(self) -> None:
        """Stop serving. Safe to call twice, and before `start`."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
