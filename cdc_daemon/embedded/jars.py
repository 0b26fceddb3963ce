"""Fetches the libraries of a Java program from Maven repositories, each against its SHA-256."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.embedded.cache import cached
from cdc_daemon.embedded.fetch import Archive, fetched
from cdc_daemon.embedded.progress import Progress, megabytes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Jars:
    """All that one Java program needs on its class path: what it depends on as well, pinned."""

    name: str
    """For people, and of the folder: `kafka-4.2.0`."""
    pins: str
    """Of each `group:artifact:version`, and its SHA-256."""
    download_bytes: int

    @property
    def archives(self) -> list[Archive]:
        """One for each pin, in their order."""
        words = self.pins.split()
        return [_archive(*pin) for pin in zip(words[::2], words[1::2], strict=True)]

    @property
    def key(self) -> str:
        """The name of the folder; other pins are another folder."""
        digest = hashlib.sha256(self.pins.encode()).hexdigest()
        return f"{self.name}-{digest[:12]}"


def class_path(jars: Jars, progress: Progress) -> list[Path]:
    """Return the files of `jars`, in the order of their pins; fetched and checked at first.

    Raises EmbeddedError: no network, wrong checksum, disk full, `demo` extra not installed.
    """

    def make(folder: Path) -> None:
        progress(f"{jars.name}: fetching {megabytes(jars.download_bytes)}, for this once")
        download = folder / "download"
        for archive in jars.archives:
            shutil.move(fetched(archive, download, progress), folder / _file_name(archive))
        shutil.rmtree(download, ignore_errors=True)

    folder = cached(jars.key, jars.download_bytes, make)
    return [folder / _file_name(archive) for archive in jars.archives]


def _archive(coordinates: str, sha256: str) -> Archive:
    group, artifact, version = coordinates.split(":")
    return Archive(group, artifact, version, sha256, download_bytes=0, packaging="jar")


def _file_name(archive: Archive) -> str:
    return f"{archive.name}.jar"
