"""The live screen, made for 80 columns and 24 lines: calm, and everything on it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Group
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cdc_daemon.demo.measuring import WINDOW_SECONDS
from cdc_daemon.outside.wording import clock, milliseconds, rate

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cdc_daemon.demo.measuring import Figures
    from cdc_daemon.outside.percentiles import Percentiles

STAGE_MEANINGS: Final = {
    "received": "read from PostgreSQL",
    "projected": "made documents of",
    "indexed": "durable in OpenSearch",
    "searchable": "refreshed: can be found",
}
NAME_WIDTH: Final = 27
NUMBER_WIDTH: Final = 11
BAR_WIDTH: Final = 20
ADDRESSES_WITH_GAPS: Final = 4
"""Those of one daemon. Where there are more, they have the lines between the blocks."""


class Addresses(NamedTuple):
    """Where to look while it runs."""

    way: str
    """How changes go."""
    named: dict[str, str]
    """Each by a name for people."""


def screen(figures: Figures | None, addresses: Addresses, duration_seconds: float) -> Group:
    """All of it, for one moment."""
    if figures is None:
        return Group(Text("Waiting for the first figures ..."))
    blocks = (
        _title(figures, addresses.way, duration_seconds),
        _headline(figures),
        _latencies(figures),
        _flow(figures),
        _addresses(addresses),
        Text("Ctrl-C stops everything.", style="dim"),
    )
    gap = 1 if len(addresses.named) <= ADDRESSES_WITH_GAPS else 0
    return Group(*(Padding(block, (0, 0, gap, 1)) for block in blocks))


def _title(figures: Figures, way: str, duration_seconds: float) -> RenderableType:
    row = Table.grid(padding=(0, 2))
    row.add_row(
        Text(way, style="bold"),
        ProgressBar(total=duration_seconds, completed=figures.elapsed, width=BAR_WIDTH),
        Text(f"{clock(figures.elapsed)} of {clock(duration_seconds)}", style="dim"),
    )
    return row


def _headline(figures: Figures) -> RenderableType:
    table = _columns(1)
    table.add_row(
        Text("Replication delay now", style="bold"),
        Text(milliseconds(figures.delay), style="bold cyan"),
        "how far searches are behind",
    )
    found = figures.last_found
    if found is not None:
        table.add_row(
            f"Booking {found.booking}",
            Text(milliseconds(found.seconds), style="bold cyan"),
            "after its commit a search found it",
        )
    return table


def _latencies(figures: Figures) -> RenderableType:
    table = _columns(2)
    table.add_row(
        Text("From a commit until it is", style="dim"),
        Text("p50", style="dim"),
        Text("p99", style="dim"),
        f"in the last {WINDOW_SECONDS:.0f} s",
    )
    for stage, meaning in STAGE_MEANINGS.items():
        table.add_row(f"  {stage}", *_pair(figures.stages[stage]), meaning)
    table.add_row("  found by a search", *_pair(figures.probe), "a probe, from outside")
    return table


def _flow(figures: Figures) -> RenderableType:
    table = _columns(1)
    for name, per_second, total in (
        ("Transactions", figures.transactions_rate, figures.transactions),
        ("Documents written", figures.documents_rate, figures.documents),
    ):
        table.add_row(name, rate(per_second), f"{total:,} so far")
    if figures.dead_letters:
        table.add_row("Dead letters", str(figures.dead_letters), "", style="bold red")
    return table


def _addresses(addresses: Addresses) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, address in addresses.named.items():
        table.add_row(name, address)
    return table


def _columns(numbers: int) -> Table:
    """A name, so many numbers, and what they mean: the same widths in every block."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=NAME_WIDTH, no_wrap=True)
    for _ in range(numbers):
        table.add_column(width=NUMBER_WIDTH, justify="right", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    return table


def _pair(values: Percentiles) -> tuple[str, str]:
    return milliseconds(values.p50), milliseconds(values.p99)
