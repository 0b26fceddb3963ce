"""The demo in plain text: a line now and then, and the summary at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.outside.wording import clock, milliseconds, rate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.demo.check import Comparison
    from cdc_daemon.demo.measuring import Figures
    from cdc_daemon.outside.percentiles import Percentiles


def line(figures: Figures) -> str:
    """The figures of the last seconds, in one line."""
    searchable = figures.stages["searchable"]
    parts = [
        f"{clock(figures.elapsed):>5}",
        f"{rate(figures.transactions_rate):>7} transactions",
        f"{rate(figures.documents_rate):>7} documents",
        f"delay {milliseconds(figures.delay)}",
        f"searchable p50 {milliseconds(searchable.p50)} p99 {milliseconds(searchable.p99)}",
    ]
    if figures.last_found is not None:
        parts.append(f"found after {milliseconds(figures.last_found.seconds)}")
    return "  ".join(parts)


def summary(figures: Figures, warm_up_seconds: float) -> Iterator[str]:
    """The figures of the run, in lines."""
    letters = figures.dead_letters
    yield (
        f"In {clock(figures.elapsed)}: {figures.transactions:,} transactions, "
        f"{figures.documents:,} documents written, {letters} dead letter{'s' * (letters != 1)}"
    )
    yield ""
    yield f"{'From a commit until it is':27}{'p50':>9}{'p99':>12}"
    for stage, values in figures.stages.items():
        yield _row(stage, values)
    yield f"{_row('found by a search', figures.probe)}   {figures.probes} probes, from outside"
    yield (
        f"  at {rate(figures.transactions_rate)} transactions, {rate(figures.documents_rate)} "
        f"documents; without the first {warm_up_seconds:.0f} s (Java warms up)"
    )


def check_lines(comparison: Comparison) -> Iterator[str]:
    """What the check found, in lines."""
    yield f"Check: {comparison.sentence}"
    for explanation in comparison.shown:
        yield f"  {explanation}"
    if comparison.differing > len(comparison.shown):
        yield f"  ... and {comparison.differing - len(comparison.shown):,} more"


def _row(name: str, values: Percentiles) -> str:
    return f"  {name:25}{milliseconds(values.p50):>9}{milliseconds(values.p99):>12}"
