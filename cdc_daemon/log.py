"""Logging: structlog, as JSON lines or for a console; messages go to stderr."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import stamina.instrumentation
import structlog

if TYPE_CHECKING:
    from cdc_daemon.config.models import LogConfig


def configure(config: LogConfig) -> None:
    """Set level and format for the whole process; call it again to change the level."""
    as_json = config.format == "json" or (config.format == "auto" and not sys.stderr.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
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
    # What is retried is logged where it happens, with the pipeline's own words and metrics.
    stamina.instrumentation.set_on_retry_hooks([])
