"""Ends a server whose starter was killed, and so could not do it: SIGKILL leaves no other way."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal

GRACE_SECONDS = 10
SCRIPT = """\
read -r nothing
kill -s "$2" "$1" && kill -s CONT "$1" && sleep "$3" && kill -s KILL "$1"
"""
"""Standard input is a pipe that nobody writes to: it ends when the starter does."""


class Guard:
    """A shell that waits for our end, and then ends the server `pid` by `request`."""

    def __init__(self, pid: int, request: signal.Signals) -> None:
        name = request.name.removeprefix("SIG")
        self._shell = subprocess.Popen(  # noqa: S603 - a script of ours, without input of users
            ["/bin/sh", "-c", SCRIPT, "cdc-daemon-guard", str(pid), name, str(GRACE_SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """The server has ended: its process id may soon be another's."""
        self._shell.kill()
        self._shell.wait()
        if self._shell.stdin is not None:
            self._shell.stdin.close()
