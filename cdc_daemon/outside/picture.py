"""Pictures of what was compared: a panel for each measure, a line for each that was compared.

Its background is its own, so that it can be read on a light page and on a dark one; the same
figures give the same SVG, byte for byte.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from cdc_daemon.outside.percentiles import Percentiles

COLORS: Final = ("#0b6e99", "#9a5b00", "#a3264f")
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
FONT_POINTS: Final = 9.0


@contextmanager
def picture(
    file: Path, *, salt: str, titles: Sequence[str], labels: Sequence[str], below: str
) -> Iterator[Sequence[Axes]]:
    """Give a panel for each title, with a line for each label; write the file at the end.

    Its name says whether as SVG or as PNG. `salt`: of the names within an SVG, which are random
    without it. `below`: what the axis says.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - an optional dependency, and slow to import
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    with rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": FONT_POINTS}):
        size = (WIDTH_INCHES, FRAME_INCHES + ROW_INCHES * len(labels))
        figure = Figure(size, facecolor=PAPER, layout="constrained")
        panels = figure.subplots(1, len(titles), sharey=True)
        for panel, title, color in zip(panels, titles, COLORS, strict=False):
            panel.set_title(title, color=INK, loc="left", fontweight="bold", fontsize="medium")
            panel.set_prop_cycle(color=[color])
        yield panels
        panels[0].set_yticks(range(len(labels)), labels)
        panels[0].set_ylim(len(labels) - 0.5, -0.5)
        figure.supxlabel(below, color=INK, fontsize="medium")
        metadata = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, dpi=DOTS_AN_INCH, metadata=metadata)


def draw_times(axes: Axes, rows: Sequence[Percentiles | None]) -> None:
    """From p50 (filled) to p99 (open), in milliseconds; None: a line without a figure."""
    axes.set_xscale("log")
    axes.set_xlim(min(SCALE) * MARGIN, max(SCALE) / MARGIN)
    axes.set_xticks([*SCALE], [*SCALE.values()])
    axes.minorticks_off()
    _frame(axes)
    for place, row in enumerate(rows):
        if row is not None:
            low, high = (_milliseconds(seconds) for seconds in row)
            (line,) = axes.plot([low, high], [place, place], linewidth=2.0, zorder=2)
            color = line.get_color()
            axes.plot(low, place, "o", color=color, markersize=6, zorder=3)
            axes.plot(high, place, "o", color=color, markersize=6, zorder=3, markerfacecolor=PAPER)


def draw_shares(axes: Axes, rows: Sequence[float | None]) -> None:
    """Bars of so many percent; None: a line without a figure."""
    _frame(axes)
    shown = [(place, 100 * share) for place, share in enumerate(rows) if share is not None]
    axes.barh([place for place, _ in shown], [share for _, share in shown], height=0.4, zorder=2)
    for place, share in shown:
        axes.annotate(
            f"{share:.0f} %", (share, place), (4, 0), textcoords="offset points", va="center"
        )
    axes.set_xlim(0, max([100.0, *(share for _, share in shown)]) / MARGIN)


def _frame(axes: Axes) -> None:
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.tick_params(colors=INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _milliseconds(seconds: float | None) -> float:
    return min(max((seconds or 0.0) * 1000, min(SCALE)), max(SCALE))
