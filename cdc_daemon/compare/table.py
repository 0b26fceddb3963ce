"""The figures as three tables: what readers and writers notice, what is missed, what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from cdc_daemon.compare.judging import KINDS
from cdc_daemon.outside.percentiles import Percentiles
from cdc_daemon.outside.wording import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cdc_daemon.compare.figures import Figures

WIDTH: Final = 100
NOTICED: Final = (
    *("delay\np50", "ms\np99", "writers\na second", "\nof alone", "write\np50", "ms\np99"),
    *("alone\np50", "ms\np99"),
)
MISSED: Final = (*(f"missed\n{KINDS[0]}", *(f"\n{kind}" for kind in KINDS[1:])), "away:\nlost")
BORNE: Final = (
    *("rows read\na change", "log\na change", "kept\nin tables"),
    *("away:\nkept", "\ncatch up", "backlog\nrows/s"),
)
NOTHING: Final = "-"
KILOBYTE: Final = 1_000
MEGABYTE: Final = 1_000_000


def tables(all_figures: Sequence[Figures]) -> list[Table]:
    """A line for each technique; red where it failed, or missed what it is not known to miss."""
    parts = ((NOTICED, _noticed), (MISSED, _missed), (BORNE, _borne))
    return [_table(headings, all_figures, cells) for headings, cells in parts]


def _table(
    headings: Iterable[str],
    all_figures: Iterable[Figures],
    cells: Callable[[Figures], Iterable[str]],
) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("\ntechnique", no_wrap=True)
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True)
    for each in all_figures:
        shown.add_row(each.technique, *cells(each), style="" if each.is_right else "bold red")
    return shown


def _noticed(figures: Figures) -> Iterable[str]:
    cost = figures.cost
    yield from _times(figures.delay)
    yield f"{cost.technique.per_second:,.0f}" if cost else NOTHING
    yield f"{100 * cost.share:.0f} %" if cost else NOTHING
    yield from _times(cost.technique.latency if cost else None)
    yield from _times(cost.baseline.latency if cost else None)


def _missed(figures: Figures) -> Iterable[str]:
    counts = figures.missed.counts if figures.missed else {}
    for kind in KINDS:
        yield f"{counts[kind]:,}" if kind in counts else NOTHING
    yield f"{sum(figures.away.lost.values()):,}" if figures.away else NOTHING


def _borne(figures: Figures) -> Iterable[str]:
    change, away, drained = figures.per_change, figures.away, figures.drained_per_second
    yield f"{change.rows_read:,.1f}" if change else NOTHING
    yield _size(change.wal_bytes if change else None)
    yield _size(figures.table_bytes)
    yield _size(away.kept_bytes if away else None)
    catch_up = away.catch_up_seconds if away else None
    yield NOTHING if catch_up is None else f"{catch_up:.1f} s"
    yield f"{drained:,.0f}" if drained else NOTHING


def _times(times: Percentiles | None) -> Iterable[str]:
    for seconds in times or Percentiles(None, None):
        yield milliseconds(seconds).removesuffix(" ms")


def _size(size_bytes: float | None) -> str:
    """`0`, `812 B`, `12 kB`, `345 MB`."""
    if size_bytes is None:
        return NOTHING
    if size_bytes < KILOBYTE:
        return f"{size_bytes:.0f} B" if size_bytes else "0"
    if size_bytes < MEGABYTE:
        return f"{size_bytes / KILOBYTE:,.1f} kB"
    return f"{size_bytes / MEGABYTE:,.1f} MB"
