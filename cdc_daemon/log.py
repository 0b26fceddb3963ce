"""Logging: structlog, as JSON lines or for a console; messages go to stderr.

Every event is explained in docs/reference/logs.md.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import stamina.instrumentation
import structlog

if TYPE_CHECKING:
    from cdc_daemon.config.models import LogConfig

LOG_AGAIN_SECONDS: Final = 10.0


def configure(config: LogConfig, *, pipeline: str | None = None) -> None:
    """Set level and format for the whole process; call it again to change the level.

    `pipeline` is put into every event, so that the logs of several daemons can be told apart.
    """
    terminal = sys.stderr.isatty()
    as_json = config.format == "json" or (config.format == "auto" and not terminal)
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=terminal and not os.environ.get("NO_COLOR"))
    )

    def name_pipeline(_: Any, __: str, event: Any) -> Any:
        if pipeline is not None:
            event["pipeline"] = pipeline
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            name_pipeline,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _include_libraries()
    # What is retried is logged where it happens, with the pipeline's own words and metrics.
    stamina.instrumentation.set_on_retry_hooks([])


class _FromLibraries(logging.Handler):
    """Warnings of libraries, as events: a log of JSON lines holds nothing else."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log it at its own level."""
        log = structlog.get_logger()
        log.log(record.levelno, "library_says", logger=record.name, message=record.getMessage())


def _include_libraries() -> None:
    root = logging.getLogger()
    if not any(isinstance(handler, _FromLibraries) for handler in root.handlers):
        root.addHandler(_FromLibraries(logging.WARNING))


class Seldom:
    """Says whether it is time to log something again: a long outage must not flood the log."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def noted(self, what: str) -> bool:
        """Whether `what` was not logged within `LOG_AGAIN_SECONDS`."""
        now = time.monotonic()
        if now - self._last.get(what, -LOG_AGAIN_SECONDS) < LOG_AGAIN_SECONDS:
            return False
        self._last[what] = now
        return True
