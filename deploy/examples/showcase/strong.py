"""Lets commits of an example wait for its daemon, as a person would: by `cdc-daemon strong`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import StopError
from cdc_daemon.outside.page import read_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.outside.daemon_process import DaemonProcess

COMMAND: Final = (sys.executable, "-m", "cdc_daemon", "strong", "enable", "--yes")
TIMEOUT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1
ACTIVE: Final = re.compile(r"^cdc_strong_active\{.*\} 1\.0$", re.MULTILINE)
"""The daemon, which looks once a second, has seen it as well: from now on it hurries."""


def let_commits_wait(daemon: DaemonProcess, variables: Mapping[str, str]) -> None:
    """Make the daemon a synchronous standby of its source.

    `variables`: those that its configuration refers to. Raises StopError with what the command
    has said.
    """
    done = subprocess.run(  # noqa: S603 - a command of ours, not of users
        [*COMMAND, daemon.folder / "cdc-daemon.yaml"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise StopError(f"commits can't wait for the daemon: {done.stderr.strip()}")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not ACTIVE.search(read_page(daemon.metrics_url) or ""):
        if time.monotonic() > deadline:
            raise StopError(f"the daemon sees no commits that wait, see {daemon.log}: try again")
        time.sleep(POLL_SECONDS)
