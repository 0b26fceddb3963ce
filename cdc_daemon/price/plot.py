"""The prices as a picture: what COMMITs and reads take, and how stale answers are, by strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.outside.picture import draw_times, picture
from cdc_daemon.price.strategies import READ_YOUR_WRITES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cdc_daemon.price.prices import Price

PANELS: Final = ("COMMIT", "read what one wrote", "staleness of what others wrote")
SALT: Final = "cdc-daemon price"


def draw(prices: Sequence[Price], file: Path) -> None:
    """Write the picture; the name says whether as SVG or as PNG."""
    labels = [_label(each) for each in prices]
    below = "milliseconds: p50 (filled) to p99 (open)"
    with picture(file, salt=SALT, titles=PANELS, labels=labels, below=below) as panels:
        columns = zip(*((each.commit, each.read, each.stale) for each in prices), strict=True)
        for panel, column in zip(panels, columns, strict=True):
            draw_times(panel, column)


def _label(price: Price) -> str:
    missed = price.violations[READ_YOUR_WRITES]
    return f"{price.strategy}\n{missed:,} own writes missed" if missed else price.strategy
