"""Writers at full speed, or at a steady rate, by an application's own code: where SQL isn't all."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

from cdc_daemon.compare.rounds import CLIENTS, Written
from cdc_daemon.outside.actors import Actors

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from cdc_daemon.compare.application import Application


def write(make: Callable[[], Application], rows: int, seconds: int, rate: float | None) -> Written:
    """Change random rows with keys from 1 to `rows`, a transaction for each.

    `rate`: transactions a second, of all clients; None: as many as can be. Raises StopError if one
    fails.
    """
    latencies: list[float] = []
    interval_seconds = 0.0 if rate is None else CLIENTS / rate
    work = partial(_write, make, latencies, rows, interval_seconds)
    writers = Actors("writer", [work] * CLIENTS)
    writers.start()
    time.sleep(seconds)
    writers.stop()
    return Written(seconds, latencies)


def _write(
    make: Callable[[], Application],
    latencies: list[float],
    rows: int,
    interval_seconds: float,
    stop: threading.Event,
) -> None:
    with make() as application:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            application.change(random.randint(1, rows))  # noqa: S311 - no secret
            latencies.append(time.monotonic() - began)
            due += random.expovariate(1) * interval_seconds
