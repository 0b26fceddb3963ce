"""What the machine is, and how much processor time each process takes of it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

TICKS: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 1, 11, 12, 13, 14
_IDLE: Final = (3, 4)
"""Fields of /proc/stat: idle, and idle while a disk works."""


class Memory(NamedTuple):
    """One process, bytes."""

    anonymous: int
    resident: int


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has taken, all threads; 0.0 when it is gone."""
    fields = _stat(pid)
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / TICKS if fields else 0.0


def family_cpu_seconds(pid: int) -> float:
    """The same for a process, its children, and those that have ended."""
    fields = _stat(pid)
    ended = (int(fields[_CHILDREN_USER]) + int(fields[_CHILDREN_SYSTEM])) / TICKS if fields else 0.0
    return ended + sum(cpu_seconds(each) for each in (pid, *_children(pid)))


def busy_seconds() -> float:
    """Processor time that anything on the machine has taken, all cores."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - sum(ticks[at] for at in _IDLE)) / TICKS


def memory(pid: int) -> Memory:
    """What a process holds now; zeros when it is gone."""
    values = {"RssAnon": 0, "VmRSS": 0}
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name in values:
            values[name] = int(value.split()[0]) * 1024
    return Memory(values["RssAnon"], values["VmRSS"])


def describe() -> str:
    """The machine and the software, in one line."""
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {gigabytes:.0f} GiB, "
        f"{platform.system()} {platform.release()}, CPython {platform.python_version()}, "
        f"psycopg {version('psycopg')}, opensearch-py {version('opensearch-py')}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # the thread has just ended
            continue
    return found
