"""Tries one technique after the other, on servers of its own, and tells the figures of each."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from cdc_daemon import embedded
from cdc_daemon.compare.rounds import rounds_seconds
from cdc_daemon.compare.setting import Stage
from cdc_daemon.compare.trial import tried
from cdc_daemon.embedded.progress import to_stderr
from cdc_daemon.outside.signals import ignore_signals, interruptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.compare.figures import Figures
    from cdc_daemon.compare.technique import Technique
    from cdc_daemon.compare.trial import Options

HEAP: Final = "768m"
START_SECONDS: Final = 20.0
"""The servers, about."""
AROUND_SECONDS: Final = 20.0
"""About what a technique takes beside what is chosen: set up, load, settle, compare."""


def compare(
    techniques: Sequence[Technique], options: Options, rows: int, came: Callable[[Figures], object]
) -> None:
    """Try each technique, in their order, with a store of so many rows; `came` gets its figures.

    Raises StopError if the servers can't be started; Interrupted when a signal came. Either way
    all is stopped.
    """
    minutes = expected_seconds(techniques, options) / 60
    to_stderr(f"Comparing {len(techniques)} techniques takes about {minutes:.0f} minutes.")
    with interruptions(), ExitStack() as stack:
        source = stack.enter_context(embedded.postgres(version=18))
        sink = stack.enter_context(embedded.opensearch(heap=HEAP, quick=True))
        kafka = ""
        if any(technique.is_relayed for technique in techniques):
            kafka = stack.enter_context(embedded.kafka()).bootstrap_servers
        stack.callback(ignore_signals)
        stage = Stage(source, sink.url, kafka, rows)
        for number, technique in enumerate(techniques, 1):
            came(_try(f"{number}/{len(techniques)}", technique, stage, options))


def expected_seconds(techniques: Sequence[Technique], options: Options) -> float:
    """How long all of it takes, about."""
    daemons = sum(technique.source is not None for technique in techniques)
    each = AROUND_SECONDS + options.seconds + rounds_seconds(options.seconds)
    return START_SECONDS + each * len(techniques) + options.away_seconds * daemons


def _try(place: str, technique: Technique, stage: Stage, options: Options) -> Figures:
    to_stderr(f"{place} {technique.name}: {technique.title} ...")
    figures = tried(technique, stage, options)
    if figures.failed:
        to_stderr(f"{technique.name} failed: {figures.failed}")
    return figures
