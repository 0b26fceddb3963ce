"""The figures as a picture: delay, what writers keep of their speed, and how long they write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.compare.judging import STATES
from cdc_daemon.outside.picture import draw_shares, draw_times, picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cdc_daemon.compare.figures import Figures

PANELS: Final = ("delay, from COMMIT until found", "a transaction", "writers' speed, of alone")
SALT: Final = "cdc-daemon compare"
BELOW: Final = "milliseconds: p50 (filled) to p99 (open); and percent"


def draw(all_figures: Sequence[Figures], file: Path) -> None:
    """Write the picture; the name says whether as SVG or as PNG."""
    labels = [_label(each) for each in all_figures]
    costs = [each.cost for each in all_figures]
    with picture(file, salt=SALT, titles=PANELS, labels=labels, below=BELOW) as panels:
        delay, latency, speed = panels
        draw_times(delay, [each.delay for each in all_figures])
        draw_times(latency, [cost.technique.latency if cost else None for cost in costs])
        draw_shares(speed, [cost.share if cost else None for cost in costs])


def _label(figures: Figures) -> str:
    """The name, and how much of what is there at the end is wrong."""
    if figures.failed:
        return f"{figures.technique}\nfailed"
    counts = figures.missed.counts if figures.missed else {}
    wrong = sum(count for kind, count in counts.items() if kind != STATES)
    return f"{figures.technique}\n{wrong:,} changes missed" if wrong else figures.technique
