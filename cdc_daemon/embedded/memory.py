"""How much memory a server may still take on this machine."""

from __future__ import annotations

from pathlib import Path

from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.progress import megabytes

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size_of(text: str) -> int:
    """Bytes of a size as Java writes it: `768m`, `2g`. Raises EmbeddedError for anything else."""
    number, unit = text[:-1], text[-1:].lower()
    if unit not in UNITS or not number.isdecimal():
        raise EmbeddedError(f"A size is a number and k, m or g (`768m`, `2g`), not {text!r}.")
    return int(number) * UNITS[unit]


def available_bytes() -> int | None:
    """What can be had without swapping, in this container if it has a limit; None: unknown."""
    known = [amount for amount in (_machine(), _container()) if amount is not None]
    return min(known, default=None)


def require_memory(server: str, needed_bytes: int) -> None:
    """Raise EmbeddedError if the machine clearly has less than `needed_bytes` to give."""
    available = available_bytes()
    if available is not None and available < needed_bytes:
        raise EmbeddedError(
            f"{server} needs about {megabytes(needed_bytes)} of memory, and "
            f"{megabytes(available)} are available. Close something, give the container more, or "
            "choose a smaller heap (512m is the least that works well)."
        )


def _machine() -> int | None:
    try:
        lines = MEMINFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def _container() -> int | None:
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or no limit ("max")
        return None
    return max(limit - used, 0)
