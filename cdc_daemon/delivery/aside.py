"""Slow work in another thread, while whoever reads goes on keeping in touch with the source."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import CdcError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS: Final = 0.05
"""How often is looked whether it is done."""


def aside(
    work: Callable[[], object], meanwhile: Callable[[], None], done: Callable[[], None]
) -> None:
    """Return when the work is done; `meanwhile` is called again and again until then.

    `done` is called by the other thread, at its end. Raises what the work, or `meanwhile`, raised.
    """
    is_done = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except (CdcError, Exception) as error:  # noqa: BLE001 - raised again by who waits
            failures.append(error)
        is_done.set()
        done()

    threading.Thread(target=run, name="aside", daemon=True).start()
    while not is_done.wait(LOOK_SECONDS):
        meanwhile()
    if failures:
        raise failures[0]
