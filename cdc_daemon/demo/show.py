"""Shows the figures while the workload runs: on a live screen, or as lines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live

from cdc_daemon.demo import report
from cdc_daemon.demo.measuring import SCRAPE_SECONDS
from cdc_daemon.demo.screen import screen
from cdc_daemon.embedded.progress import to_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.demo.measuring import Measuring
    from cdc_daemon.demo.screen import Addresses

LINE_SECONDS: Final = 5.0
LEAST_LINES: Final = 4
FRAMES_PER_SECOND: Final = 4


def live(measuring: Measuring, addresses: Addresses) -> Iterator[None]:
    """Until the time is up, on the whole terminal; yields after every scrape."""
    with Live(console=Console(), screen=True, refresh_per_second=FRAMES_PER_SECOND) as display:
        for _ in _scrapes(measuring):
            display.update(screen(measuring.live(), addresses, measuring.duration_seconds))
            yield


def lines(measuring: Measuring, addresses: Addresses) -> Iterator[None]:
    """Until the time is up, a line now and then; yields after every scrape."""
    tell(addresses)
    interval = min(LINE_SECONDS, measuring.duration_seconds / LEAST_LINES)
    due = measuring.began + interval
    for _ in _scrapes(measuring):
        figures = measuring.live()
        if figures is not None and time.monotonic() >= due:
            write(report.line(figures))
            due += interval
        yield


def tell(addresses: Addresses) -> None:
    """Write the addresses where messages belong."""
    for name, address in addresses.named.items():
        to_stderr(f"{name}: {address}")


def write(*texts: str) -> None:
    """Write lines where data belongs: standard output."""
    sys.stdout.write("".join(f"{text}\n" for text in texts))
    sys.stdout.flush()


def _scrapes(measuring: Measuring) -> Iterator[None]:
    end = measuring.began + measuring.duration_seconds
    while (left := end - time.monotonic()) > 0:
        measuring.scrape()
        yield
        time.sleep(min(SCRAPE_SECONDS, left))
