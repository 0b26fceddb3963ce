"""A process together with its children: found, signalled and killed as one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

POLL_SECONDS = 0.02
KILL_SECONDS = 10.0
"""Only a process that waits for a disk or network mount outlives SIGKILL for longer."""


def tree(pid: int) -> list[int]:
    """The process and its children, parent first so that it can't start new ones.

    Where there is no /proc only the process itself: PostgreSQL's children end by themselves then.
    """
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:  # the thread has just ended
            continue
        for child in children:
            found += tree(int(child))
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and its children, and return when they are gone."""
    pids = tree(process.pid)
    for pid in pids:
        send(pid, signal.SIGKILL)
    process.wait()
    # PostgreSQL won't start again while a child of the old server holds its shared memory.
    deadline = time.monotonic() + KILL_SECONDS
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def is_alive(pid: int) -> bool:
    """Whether a process of a killed tree still holds anything; False where there is no /proc."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"  # dead, only not yet collected by its parent
