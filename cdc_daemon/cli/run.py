"""`cdc-daemon run`: the daemon."""

from __future__ import annotations

import os

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile
from cdc_daemon.daemon import run_daemon


def run(file: ConfigurationFile = DEFAULT_FILE) -> None:
    """Run the pipeline of the configuration until SIGTERM.

    SIGTERM and Ctrl-C write and confirm what has been read, within shutdown.deadline; a second one
    stops at once. SIGHUP reads the log level again.
    """
    run_daemon(file, os.environ)
