"""How long a process reads, in a thread of its own: until a signal, or what ends it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.errors import CdcError
from cdc_daemon.pipeline import Stopped
from cdc_daemon.signals import signals_handled
from cdc_daemon.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.applications import Starlette

    from cdc_daemon.config.loader import LoadedConfiguration

STOP_GRACE_SECONDS: Final = 2.0
"""What a stop takes beside its deadline; all that it takes before anything has been read."""


class Lifetime:
    """Of one process: the main thread waits here for the reader's end."""

    def __init__(
        self,
        loaded: LoadedConfiguration,
        environ: Mapping[str, str],
        *,
        wake: Callable[[], None],
        has_read: Callable[[], bool],
    ) -> None:
        """`wake`: have the reader look whether it is to stop. `has_read`: whether anything was."""
        self._loaded = loaded
        self._environ = environ
        self._wake = wake
        self._has_read = has_read
        self.stopping = threading.Event()
        self._stop_asked_at = 0.0
        self._at_once = threading.Event()
        self.failure: BaseException | None = None
        """What ended the reader, once it did."""

    def stop(self, *, at_once: bool = False) -> None:
        """Ask it to stop: in order, or at once."""
        if not self.stopping.is_set():
            self._stop_asked_at = time.monotonic()
        self.stopping.set()
        if at_once:
            self._at_once.set()
        self._wake()

    def last(
        self, run_once: Callable[[], None], web: Starlette, ended: Callable[[bool], None]
    ) -> bool:
        """Run the reader until it is stopped, shown by `web`; whether it has ended.

        `run_once` is called again whenever it is asked to, and wherever it raises RetryError.
        `ended`: called by the reader as its last, with whether it has failed.
        """
        with signals_handled(self.stopping, self.stop, self._loaded, self._environ):
            server = WebServer(self._loaded.configuration.web, web)
            try:
                server.start()
                reader = threading.Thread(
                    target=self._read, args=(run_once, ended), name="reader", daemon=True
                )
                reader.start()
                while reader.is_alive() and not self._overdue():
                    reader.join(0.2)
                return not reader.is_alive()
            finally:
                server.stop()

    def _overdue(self) -> bool:
        """Whether a stop waits for the reader no longer: it may wait for a slot, or a server."""
        if not self.stopping.is_set() or self._at_once.is_set():
            return self._at_once.is_set()
        deadline = self._loaded.configuration.shutdown.deadline
        limit = STOP_GRACE_SECONDS + (deadline if self._has_read() else 0)
        return time.monotonic() - self._stop_asked_at > limit

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise Stopped

    def _read(self, run_once: Callable[[], None], ended: Callable[[bool], None]) -> None:
        try:
            while not self.stopping.is_set():
                for attempt in retrying():
                    with attempt:
                        self._go_on()
                        run_once()
        except Stopped:
            pass
        except (CdcError, Exception) as error:  # noqa: BLE001 - raised again by the main thread
            self.failure = error
        finally:
            ended(self.failure is not None)
