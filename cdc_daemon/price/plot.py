"""The prices as a picture: what COMMITs and reads take, and how stale answers are, by strategy.

Its background is its own, so that it can be read on a light page and on a dark one; the same
figures give the same SVG, byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.price.strategies import READ_YOUR_WRITES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from cdc_daemon.outside.percentiles import Percentiles
    from cdc_daemon.price.prices import Price

PANELS: Final = {
    "COMMIT": "#0b6e99",
    "read what one wrote": "#9a5b00",
    "staleness of what others wrote": "#a3264f",
}
INK: Final = "#24292f"
PAPER: Final = "#ffffff"
GRID: Final = "#d0d7de"
WIDTH_INCHES: Final = 10.0
ROW_INCHES: Final = 0.42
FRAME_INCHES: Final = 1.35
DOTS_AN_INCH: Final = 160
SCALE: Final = {0.1: "≤0.1", 1.0: "1", 10.0: "10", 100.0: "100", 1_000.0: "1 s", 10_000.0: "10 s"}
"""Milliseconds; logarithmic, so what is outside stands at an edge, nothing at all included."""
MARGIN: Final = 0.75
"""Room at both edges for a dot, as a factor."""
SALT: Final = "cdc-daemon price"
"""Of the names within an SVG, which are random without it."""
FONT_POINTS: Final = 9.0


def draw(prices: Sequence[Price], file: Path) -> None:
    """Write the picture; the name says whether as SVG or as PNG."""
    from matplotlib import rc_context  # noqa: PLC0415 - an optional dependency, and slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    settings = rc_context({"svg.hashsalt": SALT, "svg.fonttype": "none", "font.size": FONT_POINTS})
    with settings:
        size = (WIDTH_INCHES, FRAME_INCHES + ROW_INCHES * len(prices))
        figure = Figure(size, facecolor=PAPER, layout="constrained")
        axes = figure.subplots(1, len(PANELS), sharey=True)
        shown = [[each.commit, each.read, each.stale] for each in prices]
        for place, (title, color) in enumerate(PANELS.items()):
            _panel(axes[place], title, color, [row[place] for row in shown])
        axes[0].set_yticks(range(len(prices)), [_label(each) for each in prices])
        axes[0].invert_yaxis()
        figure.supxlabel("milliseconds: p50 (filled) to p99 (open)", color=INK, fontsize="medium")
        metadata = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, dpi=DOTS_AN_INCH, metadata=metadata)


def _panel(axes: Axes, title: str, color: str, rows: Sequence[Percentiles]) -> None:
    axes.set_title(title, color=INK, loc="left", fontweight="bold", fontsize="medium")
    axes.set_xscale("log")
    axes.set_xlim(min(SCALE) * MARGIN, max(SCALE) / MARGIN)
    axes.set_xticks([*SCALE], [*SCALE.values()])
    axes.minorticks_off()
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.tick_params(colors=INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for place, row in enumerate(rows):
        low, high = (_milliseconds(seconds) for seconds in row)
        axes.plot([low, high], [place, place], color=color, linewidth=2.0, zorder=2)
        axes.plot(low, place, "o", color=color, markersize=6, zorder=3)
        axes.plot(high, place, "o", color=color, markersize=6, zorder=3, markerfacecolor=PAPER)


def _milliseconds(seconds: float | None) -> float:
    return min(max((seconds or 0.0) * 1000, min(SCALE)), max(SCALE))


def _label(price: Price) -> str:
    missed = price.violations[READ_YOUR_WRITES]
    return f"{price.strategy}\n{missed:,} own writes missed" if missed else price.strategy
