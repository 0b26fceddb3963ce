"""Reads the configuration for the commands that connectors bring, which don't know how to."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cdc_daemon.cli.running import NotRunningError, ask
from cdc_daemon.errors import ConfigurationError
from cdc_daemon.ports import Opened, Running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cdc_daemon.ports import Watched


def open_configuration(file: Path) -> Opened:
    """Load `file`, and log as it says. Raises ConfigurationError with every mistake."""
    from cdc_daemon import log  # noqa: PLC0415 - structlog and pydantic: most commands need neither
    from cdc_daemon.config import load  # noqa: PLC0415 - as above

    config = load(file, os.environ).configuration
    log.configure(config.log)
    strong = config.consistency.strong
    return Opened(
        pipeline=config.name,
        source=config.source,
        sink=config.sink,
        tables=config.tables,
        strong=None if strong is None else replace(strong.terms, relays=config.relay is not None),
        running=lambda: _running(file, config.name),
        shown=lambda listen, process: _shown(listen, config.name, process),
    )


def _running(file: Path, pipeline: str) -> Running | None:
    from cdc_daemon.config.strong import StrongConfig  # noqa: PLC0415 - as above

    try:
        status = ask(file, None, "/api/v1/status").content
    except (NotRunningError, ConfigurationError):
        return None
    if status.get("pipeline") != pipeline:
        return None
    strong = status.get("strong")
    terms = None if strong is None else StrongConfig.model_validate(strong).terms
    if terms is not None:
        terms = replace(terms, relays="relayed_tables" in status)
    projectors = status.get("projectors", {}).items()
    unheard = [f"{name}: {why}" for name, one in projectors if (why := _why_unheard(one))]
    return Running(str(status.get("state")), terms, tuple(unheard))


def _why_unheard(projectors: Mapping[str, Any]) -> str:
    """Why commits wouldn't wait for searches of them, or in vain; empty where all is well."""
    if projectors["trouble"]:
        return str(projectors["trouble"])
    if not projectors["whole"]:
        return "a read model is being loaded"
    if not projectors["waited_for"]:
        return "they haven't got on for release_after, and aren't waited for until they catch up"
    return ""


def _shown(listen: str, pipeline: str, process: Watched) -> AbstractContextManager[None]:
    from pydantic import ValidationError  # noqa: PLC0415 - as above

    from cdc_daemon.config.models import WebConfig  # noqa: PLC0415 - as above
    from cdc_daemon.web.watching import watched  # noqa: PLC0415 - as above

    try:
        config = WebConfig(listen=listen)
    except ValidationError as error:
        raise ConfigurationError(
            f"--listen is {listen}: write HOST:PORT, such as 0.0.0.0:9646 to be reached from "
            "outside, or [::1]:9646 for IPv6"
        ) from error
    return watched(config, pipeline, process)
