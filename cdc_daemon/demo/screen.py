"""The live screen, made for 80 columns and 24 lines: calm, and everything on it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cdc_daemon.demo.measuring import WINDOW_SECONDS
from cdc_daemon.demo.wording import clock, milliseconds, rate

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cdc_daemon.demo.figures import Percentiles
    from cdc_daemon.demo.measuring import Figures

STAGE_MEANINGS: Final = {
    "received": "read from PostgreSQL by the daemon",
    "indexed": "durable in OpenSearch",
    "searchable": "refreshed: a search can find it",
}
WIDTH: Final = 78


class Addresses(NamedTuple):
    """Where to look while it runs."""

    status: str
    metrics: str
    search: str
    dsn: str

    @property
    def named(self) -> dict[str, str]:
        """By the name that people give them."""
        return {
            "Status": self.status,
            "Metrics": self.metrics,
            "OpenSearch": self.search,
            "PostgreSQL": self.dsn,
        }


def screen(figures: Figures | None, addresses: Addresses, duration_seconds: float) -> Group:
    """All of it, for one moment."""
    if figures is None:
        return Group(Text("Waiting for the first figures ..."))
    parts = (
        _title(figures, duration_seconds),
        _headline(figures),
        _latencies(figures),
        _flow(figures),
        _addresses(addresses),
        Text("Ctrl-C stops everything", style="dim"),
    )
    return Group(*(Padding(part, (0, 1, 1, 1)) for part in parts[:-1]), Padding(parts[-1], (0, 1)))


def _title(figures: Figures, duration_seconds: float) -> RenderableType:
    row = Table.grid(expand=False, padding=(0, 2))
    row.add_row(
        Text("PostgreSQL → cdc-daemon → OpenSearch", style="bold"),
        ProgressBar(total=duration_seconds, completed=figures.elapsed, width=22),
        Text(f"{clock(figures.elapsed)} of {clock(duration_seconds)}", style="dim"),
    )
    return row


def _headline(figures: Figures) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=23)
    table.add_column(justify="right", width=9, style="bold cyan")
    table.add_column(style="dim")
    table.add_row(
        "Replication delay now",
        milliseconds(figures.delay),
        "how old a search result can be",
    )
    found = figures.last_found
    if found is not None:
        table.add_row(
            f"Booking {found.booking}",
            milliseconds(found.seconds),
            "after its commit a search found it",
        )
    return table


def _latencies(figures: Figures) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("From a commit until it is", width=23)
    table.add_column("p50", justify="right", width=9)
    table.add_column("p99", justify="right", width=9)
    table.add_column(f"(last {WINDOW_SECONDS:.0f} s)", style="dim")
    for stage, meaning in STAGE_MEANINGS.items():
        table.add_row(stage, *_pair(figures.stages[stage]), meaning)
    table.add_row("found, from outside", *_pair(figures.probe), "committed and searched by a probe")
    return table


def _flow(figures: Figures) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=23)
    table.add_column(justify="right", width=9)
    table.add_column(style="dim")
    table.add_row(
        "Transactions", rate(figures.transactions_rate), f"{figures.transactions:,} so far"
    )
    table.add_row("Documents", rate(figures.documents_rate), f"{figures.documents:,} so far")
    if figures.dead_letters:
        table.add_row("Dead letters", str(figures.dead_letters), "", style="bold red")
    return table


def _addresses(addresses: Addresses) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, address in addresses.named.items():
        table.add_row(name, address)
    return table


def _pair(values: Percentiles) -> tuple[str, str]:
    return milliseconds(values.p50), milliseconds(values.p99)
