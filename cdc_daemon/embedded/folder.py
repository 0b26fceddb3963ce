"""The folder of one server: its data, configuration and log."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cdc_daemon.embedded.account import give, require_reachable
from cdc_daemon.embedded.cache import require_space
from cdc_daemon.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.embedded.account import Account


@contextmanager
def server_folder(
    kind: str, data: Path | None, account: Account | None, needed_bytes: int
) -> Iterator[Path]:
    """Give a folder that belongs to `account`: `data`, which stays, or a temporary one.

    Raises EmbeddedError if `data` holds something else, can't be reached, or the disk is full.
    """
    if data is not None:
        folder = data.absolute()
        _adopt(folder, kind, account)
        require_space(folder, needed_bytes)
        give(folder, account)
        yield folder
        return
    temporary = Path(tempfile.mkdtemp(prefix=f"cdc-{kind}-"))
    try:
        _adopt(temporary, kind, account)
        require_space(temporary, needed_bytes)
        give(temporary, account)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _adopt(folder: Path, kind: str, account: Account | None) -> None:
    """All that is in `folder` gets another owner, so be sure that it is ours."""
    require_reachable(folder, account)
    marker = folder / f".cdc-daemon-{kind}"
    folder.mkdir(parents=True, exist_ok=True)
    if not marker.exists() and any(folder.iterdir()):
        raise EmbeddedError(
            f"{folder} is not empty, and was not made by an embedded {kind} server. "
            "Choose an empty or a new folder for its data."
        )
    marker.touch()
