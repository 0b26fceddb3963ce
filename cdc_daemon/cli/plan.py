"""`cdc-daemon plan`: what the next start will create, load and change, before it does."""

from __future__ import annotations

import os
from dataclasses import asdict

import orjson
import typer

from cdc_daemon import log
from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output
from cdc_daemon.config import load
from cdc_daemon.configured import configured
from cdc_daemon.planning import Step
from cdc_daemon.planning import plan as planned


def plan(file: ConfigurationFile = DEFAULT_FILE, output: Output = "text") -> None:
    """Show what the next start will create, load and change, and why; touches nothing."""
    loaded = load(file, os.environ)
    log.configure(loaded.configuration.log)
    with configured(loaded) as known:
        steps = planned(known)
    if output == "json":
        whole = {"steps": [asdict(step) for step in steps]}
        typer.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
        return
    for step in steps:
        typer.echo(line(step))


def line(step: Step) -> str:
    """For people: what is done to what, and why."""
    return f"{step.action:9}{': '.join(filter(None, (step.subject, step.why)))}"
