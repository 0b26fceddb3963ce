"""Lets commits of an example wait for its daemon, as a person would: by `cdc-daemon strong`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.outside.daemon_process import DaemonProcess

COMMAND: Final = (sys.executable, "-m", "cdc_daemon", "strong", "enable", "--yes")
TIMEOUT_SECONDS: Final = 60.0


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
