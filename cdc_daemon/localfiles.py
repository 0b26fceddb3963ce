"""The folder of local files: made and tried before anything else is made, not in mid-stream."""

from __future__ import annotations

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
        raise StateError(
            f"local files can't be kept in {folder.absolute()}: {error.strerror}. Let state.path "
            "name a folder that the daemon may make and write"
        ) from error
