"""Files that transactions are spilled to, and how much of their disk they may take."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from cdc_daemon.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def spill_file(folder: Path) -> BinaryIO:
    """A new file in `folder`, which is made if need be. It has no name: a crash leaves none."""
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder, prefix="spill-")


def give_back(file: BinaryIO) -> None:
    """Close it, and so give its room back: also where the disk had none for all of it."""
    with suppress(OSError):  # what could not be written is tried once more
        file.close()


@contextmanager
def spilling(folder: Path) -> Iterator[None]:
    """Say of a disk that is full, or can't be written, what to do. Raises StateError."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"a transaction larger than memory.transaction can't be folded in {folder}: "
            f"{error.strerror}. Nothing is lost. Make room there, or let state.path name another "
            "folder, and start again"
        ) from error


def require_room(folder: Path, taken_bytes: int, most_bytes: int | None) -> None:
    """Raise StateError where `taken_bytes` in all are more than may be in `folder`."""
    if most_bytes is not None and taken_bytes > most_bytes:
        raise StateError(
            "transactions that haven't ended, or are just being written, would take more than "
            f"state.max_spill ({most_bytes} bytes) in {folder}. Nothing is lost: they come again "
            "from their beginning. Raise state.max_spill, and start again"
        )
