"""What the machine is, and how much processor time each process takes of it."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM = 11, 12, 13, 14
"""Fields of /proc/PID/stat behind the name, as _IDLE of /proc/stat."""
_IDLE: Final = (3, 4)
"""Fields of /proc/stat: idle, and idle while a disk works."""


class Shares:
    """How much of the machine processes take from now on: how noisy a figure is."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._before = self._seconds()
        self._began = time.monotonic()

    def cpu_seconds(self, name: str) -> float:
        """What one of the processes, with its children, has taken since."""
        return self._seconds()[name] - self._before[name]

    def __str__(self) -> str:
        used = {name: now - self._before[name] for name, now in self._seconds().items()}
        others = used.pop("all") - used.pop("ours")
        cores = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        shown = [f"{name} {seconds / cores:.0%}" for name, seconds in used.items()]
        return ", ".join([*shown, f"strangers {max(0.0, others) / cores:.0%}"])

    def _seconds(self) -> dict[str, float]:
        seconds = {name: family_cpu_seconds(pid) for name, pid in self._pids.items()}
        return {**seconds, "ours": family_cpu_seconds(os.getpid()), "all": busy_seconds()}


class Memory(NamedTuple):
    """One process, bytes."""

    anonymous: int
    """What it holds now, without pages of files."""
    peak: int
    """The most it has ever held, files included (VmHWM)."""


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has taken, all threads; 0.0 when it is gone."""
    fields = _stat(pid)
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / TICKS if fields else 0.0


def family_cpu_seconds(pid: int) -> float:
    """The same for a process, all that it has started, and those of them that have ended."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    ticks = sum(int(fields[at]) for at in (_USER, _SYSTEM, _CHILDREN_USER, _CHILDREN_SYSTEM))
    return ticks / TICKS + sum(family_cpu_seconds(child) for child in _children(pid))


def busy_seconds() -> float:
    """Processor time that anything on the machine has taken, all cores."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - sum(ticks[at] for at in _IDLE)) / TICKS


def memory(pid: int) -> Memory:
    """What a process holds; zeros when it is gone."""
    values = {"RssAnon": 0, "VmHWM": 0}
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name in values:
            values[name] = int(value.split()[0]) * 1024
    return Memory(values["RssAnon"], values["VmHWM"])


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
