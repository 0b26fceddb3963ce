"""Runs the same workload under each strategy, on servers of its own, and tells what each costs."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from cdc_daemon import embedded
from cdc_daemon.embedded.ports import free_port
from cdc_daemon.embedded.progress import to_stderr
from cdc_daemon.errors import StopError
from cdc_daemon.outside.daemon_process import HOST, DaemonProcess, running_daemon
from cdc_daemon.outside.signals import ignore_signals, interruptions
from cdc_daemon.price import store
from cdc_daemon.price.clients import Places
from cdc_daemon.price.prices import Price, Stretch, price
from cdc_daemon.price.strategies import chosen
from cdc_daemon.price.workload import Workload, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.price.strategies import Strategy

HEAP: Final = "768m"
LOAD_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 60.0
WARM_UP_SECONDS: Final = 5.0
WARM_UP_SHARE: Final = 0.25
"""As in the demo: this share of a run, at most so long, counts for no time, only for violations."""
LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line chooses."""

    duration_seconds: float
    """Of each strategy."""
    clients: int
    rate: float
    """Transactions a second, of all clients."""
    strategies: Sequence[Strategy]


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs."""

    dsn: str
    search_url: str
    daemon: DaemonProcess

    def places(self, read_model: str) -> Places:
        """Where clients of a read model write and read."""
        daemons = (f"http://{HOST}:{self.daemon.port}",)
        return Places(self.dsn, self.search_url, daemons, read_model, table=read_model)


def compare(options: Options) -> list[Price]:
    """The price of each strategy, in their order.

    Raises StopError with what to do; Interrupted when a signal came. Either way all is stopped.
    """
    with interruptions(), ExitStack() as stack:
        stage = _set_up(stack, options)
        stack.callback(ignore_signals)
        _warm_up(stage, options)
        return [_measure(stage, strategy, options) for strategy in options.strategies]


def _set_up(stack: ExitStack, options: Options) -> Stage:
    source = stack.enter_context(embedded.postgres(version=18))
    dsn = store.create(source, keys_of(options.clients))
    # Quick: Java's second compiler would make whatever runs later look cheaper.
    sink = stack.enter_context(embedded.opensearch(heap=HEAP, quick=True))
    variables = {"DATABASE_URL": dsn, "OPENSEARCH_URL": sink.url}
    running = running_daemon(store.CONFIGURATION, free_port(), variables, to_stderr)
    daemon = stack.enter_context(running)
    if not daemon.wait_until(lambda shown: shown.get("state") == "streaming", LOAD_SECONDS):
        raise StopError(f"the first load did not end within {LOAD_SECONDS:.0f} s")
    return Stage(dsn, sink.url, daemon)


def _warm_up(stage: Stage, options: Options) -> None:
    """Let a fresh Java compile what all strategies use, before the first one is measured."""
    to_stderr("Warming up ...")
    for strategy in chosen("eventual-1s, eventual-0"):
        _run(stage, strategy, options, _warm_up_seconds(options))


def _measure(stage: Stage, strategy: Strategy, options: Options) -> Price:
    to_stderr(f"{strategy.title}: {options.duration_seconds:.0f} s ...")
    with ExitStack() as stack:
        if strategy.is_strong:
            stack.enter_context(_enabled(stage.daemon))
        began = time.monotonic()
        workload = _run(stage, strategy, options, options.duration_seconds)
    stage.daemon.catch_up(stage.dsn, SETTLE_SECONDS)
    stretch = Stretch(began + _warm_up_seconds(options), began + options.duration_seconds)
    return price(strategy, workload.history, stretch)


@contextmanager
def _enabled(daemon: DaemonProcess) -> Iterator[None]:
    """Within the context a COMMIT can wait for searches."""
    daemon.command("strong", "enable", "--yes")
    try:
        yield
    finally:
        daemon.command("strong", "disable")


def _run(stage: Stage, strategy: Strategy, options: Options, seconds: float) -> Workload:
    """Let clients work for so long. Raises StopError if anything failed, or had no answer."""
    make = partial(strategy.client, stage.places(strategy.read_model))
    workload = Workload(make, options.clients, options.rate)
    end = time.monotonic() + seconds
    workload.start()
    try:
        while (left := end - time.monotonic()) > 0:
            stage.daemon.require_running()
            workload.raise_failure()
            time.sleep(min(LOOK_SECONDS, left))
    finally:
        workload.stop()
    if workload.unanswered:
        raise StopError(
            f"{len(workload.unanswered)} searches of {strategy.title} had no answer, so this run "
            f"tells no prices; the first said: {workload.unanswered[0]}"
        )
    return workload


def _warm_up_seconds(options: Options) -> float:
    return min(WARM_UP_SECONDS, WARM_UP_SHARE * options.duration_seconds)
