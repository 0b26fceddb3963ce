"""The consumer stands still, or is away: what the source keeps for it, and how it catches up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import psycopg

from cdc_daemon.compare.footprint import footprint
from cdc_daemon.compare.setting import CATCH_UP_SECONDS
from cdc_daemon.compare.steady import work
from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from cdc_daemon.compare.journal import Change
    from cdc_daemon.compare.setting import Setting
    from cdc_daemon.compare.workload import Workload
    from cdc_daemon.outside.daemon_process import DaemonProcess

TRANSACTION_ROWS: Final = 100
"""So many rows of a backlog are written by one transaction."""
LOOK_SECONDS: Final = 0.2
"""So seldom that counting costs the source little, where the read model is in it."""


class Absence(NamedTuple):
    """The consumer was away, and came back."""

    journal: list[Change]
    """Of what was committed meanwhile."""
    kept_bytes: int
    """What the source kept for it."""
    catch_up_seconds: float | None
    """Until all of that could be found; None where the daemon doesn't ask for what it missed."""


def drain(setting: Setting, rows: int) -> float:
    """How many rows a second are worked off: all of them change while the consumer is frozen.

    Counted from when it may go on, whatever it waits for then.
    """
    with setting.frozen():
        _write_backlog(setting, rows)
    began = time.monotonic()
    with setting.read_model() as read_model:
        while read_model.backlog() < rows:
            if time.monotonic() - began > CATCH_UP_SECONDS:
                raise StopError(f"a backlog was not found within {CATCH_UP_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)
    return rows / (time.monotonic() - began)


def be_away(setting: Setting, daemon: DaemonProcess, workload: Workload, seconds: float) -> Absence:
    """Stop the consumer for so long while clients write, and start it again.

    `workload` has run before: so rows that can be found already are changed and deleted too.
    """
    daemon.stop()
    before = footprint(setting.dsn).kept_bytes
    known = len(workload.journal)
    work(workload, seconds)
    kept = footprint(setting.dsn).kept_bytes - before
    began = time.monotonic()
    daemon.start()
    setting.catch_up()
    took = time.monotonic() - began if setting.technique.reads_source else None
    return Absence(workload.journal[known:], max(0, kept), took)


def _write_backlog(setting: Setting, rows: int) -> None:
    with psycopg.connect(setting.dsn) as connection:
        for first in range(1, rows + 1, TRANSACTION_ROWS):
            values = [first, min(first + TRANSACTION_ROWS - 1, rows)]
            connection.execute(setting.technique.change_many, values)
            connection.commit()
