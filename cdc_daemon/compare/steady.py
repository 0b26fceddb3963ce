"""Writers at a steady rate while a technique runs: the delay, and what each change costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg

from cdc_daemon.compare.footprint import PerChange, footprint, per_change
from cdc_daemon.compare.prober import Prober

if TYPE_CHECKING:
    from cdc_daemon.compare.journal import Change
    from cdc_daemon.compare.setting import Setting
    from cdc_daemon.compare.workload import Workload

SETTLE_SECONDS: Final = 30.0
"""A technique has so long to show what was committed; what it doesn't show then, it has missed."""
LOOK_SECONDS: Final = 0.1
WARM_UP_SECONDS: Final = 5.0
WARM_UP_SHARE: Final = 0.25
"""As in price: this share of the time, at most so long, counts for no delay."""


@dataclass(frozen=True, slots=True)
class Steady:
    """What came of it."""

    journal: list[Change]
    delays: list[float]
    """Of rows that were found, after the warm-up."""
    received: int | None
    """How many changes the daemon has read; None where there is no daemon."""
    per_change: PerChange


def run_steadily(setting: Setting, workload: Workload, seconds: float, first_key: int) -> Steady:
    """Let clients and a prober work for so long, and wait until it has had its time.

    `first_key`: of keys that nobody else has, for the prober.
    """
    prober = _prober(setting, first_key)
    _flush(setting.dsn)
    before, received = footprint(setting.dsn), setting.received()
    began = time.monotonic()
    if prober is not None:
        prober.start()
    work(workload, seconds)
    if prober is not None:
        prober.stop(SETTLE_SECONDS)
    setting.catch_up()
    probes = [] if prober is None else prober.journal
    journal = [*workload.journal, *probes]
    steady = began + min(WARM_UP_SECONDS, WARM_UP_SHARE * seconds)
    found = {} if prober is None else prober.delays
    return Steady(
        journal,
        [found[one.key] for one in probes if one.key in found and one.committed >= steady],
        None if received is None else (setting.received() or 0) - received,
        per_change(before, footprint(setting.dsn), len(journal)),
    )


def work(workload: Workload, seconds: float) -> None:
    """Let a workload run for so long. Raises StopError if it fails."""
    end = time.monotonic() + seconds
    workload.start()
    try:
        while (left := end - time.monotonic()) > 0:
            workload.raise_failure()
            time.sleep(min(LOOK_SECONDS, left))
    finally:
        workload.stop()


def _prober(setting: Setting, first_key: int) -> Prober | None:
    """None where there is no read model to ask."""
    if setting.technique.read_model is None:
        return None
    return Prober(setting.application, setting.read_model, first_key)


def _flush(dsn: str) -> None:
    """Let the server write its pages out: the log has whole pages after it, for all alike."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("checkpoint")
