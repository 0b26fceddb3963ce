"""Where fetched and copied programs are kept between runs, outside the repository."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cdc_daemon.embedded.account import require_reachable, server_account
from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.progress import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE_VARIABLE = "CDC_DAEMON_CACHE"
SYSTEM_CACHE = Path("/var/cache/cdc-daemon")


def cache_folder() -> Path:
    """The cache: `$CDC_DAEMON_CACHE`, else root's or the user's usual place. Made if need be.

    Root's is one that the unprivileged servers can read. Raises EmbeddedError if it can't be used.
    """
    folder = _chosen_folder()
    require_reachable(folder / "any", server_account())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(
            f"The cache folder {folder} can't be made ({error.strerror}). "
            f"Set {CACHE_VARIABLE} to a folder that you can write to."
        ) from error
    return folder


def cached(name: str, needed_bytes: int, make: Callable[[Path], None]) -> Path:
    """Return the folder `name` of the cache; the first time let `make` fill it.

    `make` gets an empty folder, which gets its name only when `make` returned: what has the name
    is whole. Others who want it meanwhile wait. Raises EmbeddedError if `needed_bytes` are not
    free.
    """
    cache = cache_folder()
    wanted = cache / name
    if wanted.is_dir():
        return wanted
    with _locked(cache):
        if not wanted.is_dir():
            require_space(cache, needed_bytes)
            _fill(wanted, make)
    return wanted


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise EmbeddedError unless the disk of `folder` has `needed_bytes` left."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise EmbeddedError(
            f"The disk is too full: {megabytes(needed_bytes)} are needed in {folder}, "
            f"{megabytes(free)} are free. Free some space, or choose a folder on another disk "
            f"(the cache: {CACHE_VARIABLE}; temporary files: TMPDIR)."
        )


def _chosen_folder() -> Path:
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    if os.geteuid() == 0:
        return SYSTEM_CACHE
    if home := os.environ.get("XDG_CACHE_HOME"):
        return Path(home) / "cdc-daemon"
    return Path.home() / ".cache" / "cdc-daemon"


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(wanted: Path, make: Callable[[Path], None]) -> None:
    unfinished = wanted.with_name(wanted.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        make(unfinished)
        _open_to_all(unfinished)
        unfinished.rename(wanted)
    except OSError as error:
        raise EmbeddedError(
            f"{wanted} can't be filled: {error}. Check that there is space left on the disk, "
            f"or set {CACHE_VARIABLE} to another folder."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _open_to_all(folder: Path) -> None:
    """Whatever our umask is, the account that runs the servers must read this."""
    for path, _, files in os.walk(folder):
        Path(path).chmod(0o755)
        for name in files:
            file = Path(path, name)
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
