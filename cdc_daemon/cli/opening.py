"""Reads the configuration for the commands that connectors bring, which don't know how to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cdc_daemon.cli.running import NotRunningError, ask
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import Opened, StrongTerms

if TYPE_CHECKING:
    from pathlib import Path


def open_configuration(file: Path) -> Opened:
    """Load `file`, and log as it says. Raises ConfigurationError with every mistake."""
    from cdc_daemon import log  # noqa: PLC0415 - structlog and pydantic: most commands need neither
    from cdc_daemon.config import load  # noqa: PLC0415 - as above

    config = load(file, os.environ).configuration
    log.configure(config.log)
    strong = config.consistency.strong
    terms = None
    if strong is not None:
        terms = StrongTerms(strong.when_away == "degrade", strong.silence_seconds)
    return Opened(config.name, config.source, config.sink, terms, lambda: _doing(file))


def _doing(file: Path) -> str | None:
    try:
        return str(ask(file, None, "/api/v1/status").content.get("state"))
    except (NotRunningError, ConfigurationError):
        return None
