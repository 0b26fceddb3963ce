"""What the signals of the operating system mean to the daemon."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from cdc_daemon import log as logging
from cdc_daemon.config.loader import load as load_configuration
from cdc_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cdc_daemon.config.loader import LoadedConfiguration

log = structlog.get_logger(__name__)


@contextmanager
def signals_handled(
    stopping: threading.Event,
    stop: Callable[..., None],
    loaded: LoadedConfiguration,
    environ: Mapping[str, str],
) -> Iterator[None]:
    """SIGTERM and SIGINT stop in order, a second one at once; SIGHUP re-reads the log level."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_stop(number: int, _: Any) -> None:
        at_once = stopping.is_set()
        log.info("stopping", signal=signal.Signals(number).name, at_once=at_once)
        stop(at_once=at_once)

    def on_hangup(*_: Any) -> None:
        try:
            again = load_configuration(loaded.path, environ)
            logging.configure(again.configuration.log, pipeline=loaded.configuration.name)
            log.info("log_level_read", log_level=again.configuration.log.level)
        except ConfigurationError as error:
            log.error("configuration_not_read", error=str(error))  # noqa: TRY400 - it says all

    before = {
        number: signal.signal(number, handler)
        for number, handler in (
            (signal.SIGTERM, on_stop),
            (signal.SIGINT, on_stop),
            (signal.SIGHUP, on_hangup),
        )
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
