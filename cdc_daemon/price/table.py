"""The prices as one table, 100 columns wide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from cdc_daemon.outside.wording import milliseconds
from cdc_daemon.price.strategies import MONOTONIC_READS, NO_MISSED_COMMIT, READ_YOUR_WRITES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cdc_daemon.price.prices import Price

WIDTH: Final = 100
TIMES: Final = ("COMMIT\np50", "ms\np99", "read\np50", "ms\np99", "stale\np50", "ms\np99", "\nmost")
MISSED: Final = {
    READ_YOUR_WRITES: "missed\nown",
    MONOTONIC_READS: "\nseen",
    NO_MISSED_COMMIT: "\nany",
}


def table(prices: Sequence[Price]) -> Table:
    """A line for each strategy; red where it let happen what it rules out."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("\nstrategy", no_wrap=True)
    for heading in (*TIMES, *MISSED.values(), "writes\na second"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for each in prices:
        shown.add_row(*_cells(each), style="bold red" if each.faults else "")
    return shown


def _cells(price: Price) -> Iterable[str]:
    yield price.strategy
    for seconds in (*price.commit, *price.read, *price.stale, price.most_stale):
        yield milliseconds(seconds).removesuffix(" ms")
    for guarantee in MISSED:
        yield f"{price.violations[guarantee]:,}"
    yield f"{price.writes_a_second:,.0f}"
