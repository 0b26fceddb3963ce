"""Fetches archives from Maven repositories, checks their SHA-256 and unpacks them once."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.embedded.cache import cached
from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.progress import MEGABYTE, Progress, megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

TIMEOUT_SECONDS = 60
REPORTS = 5
"""How many lines one download writes."""
QUIET_BYTES = 8 * MEGABYTE
"""What is smaller isn't worth a line."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A file in a Maven repository, and what it must be."""

    group: str
    artifact: str
    version: str
    sha256: str
    download_bytes: int
    unpacked_bytes: int = 0
    packaging: str = "zip"
    classifier: str = ""

    @property
    def name(self) -> str:
        """`artifact-version`."""
        return f"{self.artifact}-{self.version}"


def unpacked(archive: Archive, progress: Progress) -> Path:
    """Return the folder with the content of `archive`; fetch, check and unpack it at first.

    Raises EmbeddedError: no network, wrong checksum, disk full, `demo` extra not installed.
    """

    def make(folder: Path) -> None:
        download = folder / "download"
        file = fetched(archive, download, progress)
        progress(f"{archive.name}: unpacking {megabytes(archive.unpacked_bytes)}")
        with zipfile.ZipFile(file) as content:
            content.extractall(folder)
        shutil.rmtree(download, ignore_errors=True)

    needed = archive.download_bytes + archive.unpacked_bytes
    # The digest is part of the name: another pin is another folder.
    return cached(f"{archive.name}-{archive.sha256[:12]}", needed, make)


def fetched(archive: Archive, folder: Path, progress: Progress) -> Path:
    """Return the checked file of `archive`, in `folder` or in the user's local Maven repository.

    Raises EmbeddedError: no network, wrong checksum, `demo` extra not installed.
    """
    file = _fetch(archive, folder, progress)
    check(file, archive.sha256)
    return file


def check(file: Path, sha256: str) -> None:
    """Raise EmbeddedError unless the SHA-256 of `file` is `sha256`."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise EmbeddedError(
            f"{file.name} is not the file that this version of cdc-daemon was made for: its "
            f"SHA-256 is {found}, expected is {sha256}. It was not used. Delete {file} if it is "
            "there, and try again; if that does not help, something between the repository and "
            "you changes what is fetched."
        )


def require_extra(module: str) -> None:
    """Raise EmbeddedError if `module`, which the `demo` extra brings, can't be imported."""
    from importlib.util import find_spec  # noqa: PLC0415 - only when a server is started

    if find_spec(module) is None:
        raise EmbeddedError(
            f"The Python package {module!r} is missing, and embedded servers need it. "
            "Install the demo extra: pip install 'cdc-daemon[demo]'."
        )


def _fetch(archive: Archive, folder: Path, progress: Progress) -> Path:
    require_extra("jgo")
    from jgo.config import GlobalSettings  # noqa: PLC0415 - an optional dependency
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - an optional dependency
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - an optional dependency

    settings = GlobalSettings.load()
    context = MavenContext(
        resolver=PythonResolver(progress_callback=_reporting(progress)),
        # jgo would leave a half download there and take it for whole next time: use our own.
        repo_cache=folder,
        local_repos=[settings.repo_cache],
        remote_repos={"central": MAVEN_CENTRAL_URL, **settings.repositories},
        timeout=TIMEOUT_SECONDS,
    )
    component = context.project(archive.group, archive.artifact).at_version(archive.version)
    if archive.download_bytes > QUIET_BYTES:
        progress(f"{archive.name}: fetching {megabytes(archive.download_bytes)}, for this once")
    try:
        return component.artifact(archive.classifier, archive.packaging).resolve()
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise EmbeddedError(
            f"{archive.name} can't be fetched from the Maven repositories "
            f"({', '.join(context.remote_repos)}): {error}. Check the network and the proxy "
            "settings (HTTPS_PROXY); a mirror goes under [repositories] of jgo's configuration "
            "file. What was fetched once is kept, so this is needed only the first time."
        ) from error


def _reporting(
    progress: Progress,
) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    @contextmanager
    def report(name: str, total: int) -> Iterator[Callable[[int], None]]:
        done = 0
        step = max(total // REPORTS, 1)

        def add(size: int) -> None:
            nonlocal done
            before, done = done, done + size
            if total > QUIET_BYTES and done // step > before // step:
                progress(f"{name}: {megabytes(done)} of {megabytes(total)} fetched")

        yield add

    return report
