"""The folder of local files: made and tried before anything else is made, not in mid-stream."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from cdc_daemon.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path


def require_folder(folder: Path) -> None:
    """Make `state.path`, and see that it can be written. Raises StateError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise StateError(_unusable(folder, error.strerror)) from error


def why_unusable(folder: Path) -> str:
    """What `require_folder` would raise for who asks, or "". What isn't there isn't made."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir():
        return _unusable(folder, f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return _unusable(folder, f"this account may not write in {there.absolute()}")
    return ""


def _unusable(folder: Path, why: str | None) -> str:
    return (
        f"local files can't be kept in {folder.absolute()}: {why}. Let state.path "
        "name a folder that the daemon may make and write"
    )
