"""Tells a person what takes so long: one line each time something happens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str], None]
"""Called with one line of text, without a line break at its end."""

MEGABYTE = 1_000_000


def to_stderr(line: str) -> None:
    """Write `line` where messages belong: standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def megabytes(size: int) -> str:
    """`size` in bytes as people read it: `161 MB`."""
    return f"{size / MEGABYTE:.0f} MB"
