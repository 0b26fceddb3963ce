"""`cdc-daemon run`: the daemon."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile
from cdc_daemon.process import run_daemon
from cdc_daemon.sharing.terms import Role  # noqa: TC001 - typer reads it


def run(
    file: ConfigurationFile = DEFAULT_FILE,
    role: Annotated[
        Role,
        typer.Option(
            "--role",
            help="`projector`: one of several processes of this pipeline, each of which writes a "
            "share of the documents. `alone`: the only one.",
        ),
    ] = "alone",
) -> None:
    """Run the pipeline of the configuration until SIGTERM.

    SIGTERM and Ctrl-C write and confirm what has been read, within shutdown.deadline; a second one
    stops at once. SIGHUP reads the log level again.
    """
    run_daemon(file, os.environ, role)
