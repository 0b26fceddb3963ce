"""The mark: a small file beside the state that says whether the state can be trusted.

LMDB keeps no checksums, and a file that wasn't synced before the machine went down may lead it
anywhere. So it isn't even opened before the mark, which is always synced, says that it may be.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import orjson

from cdc_daemon.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK: Final = "mark.json"
OWNER: Final = "owner"
COPY: Final = "compact-"
"""Begins the name of the folder in which a copy without free pages is made."""
FORMAT: Final = 4
"""Of the state as a whole; a state of another format is loaded anew."""
GLANCE_SECONDS: Final = 0.1
"""Who only asks for the owner (`owner`) has the lock for less."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Mark:
    """What the mark says."""

    format: int
    pipeline: str
    state_id: str
    """Made with the state: a checkpoint names the state that it goes with."""
    source_id: str
    boot_id: str
    """Of the machine when the state was opened last; empty where it can't be known."""
    clean: bool
    """Whether it was closed, and everything synced."""
    file_bytes: int
    """The file was at least this long, and never becomes shorter."""
    lost: str = ""
    """Why it is given up: the next start loads it anew."""


def boot_id() -> str:
    """Another one after each start of the machine."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def read_mark(folder: Path) -> Mark | None:
    """The mark; None where there is none, or it can't be understood."""
    try:
        found = orjson.loads((folder / MARK).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    except OSError as error:
        raise _unusable(folder, error) from error
    if found.get("format") == FORMAT:
        return Mark(**found)
    return Mark(found.get("format", 0), "", "", "", "", clean=False, file_bytes=0)


def write_mark(folder: Path, mark: Mark) -> None:
    """Write the mark; it is on disk when this returns, and is never half of it."""
    new = folder / f"{MARK}.new"
    try:
        with new.open("wb") as file:
            file.write(orjson.dumps(asdict(mark), option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        if (folder / MARK).exists():
            give_to_owner_of(folder / MARK, new)
        new.replace(folder / MARK)
        sync_folder(folder)
    except OSError as error:
        raise _unusable(folder, error) from error


def write_lost(folder: Path, mark: Mark) -> None:
    """Write a mark that gives the state up; where nothing can be written, leave none.

    A start takes that for a state that is lost, too: also a folder that is gone. A full disk is why
    most syncs fail.
    """
    try:
        write_mark(folder, mark)
    except StateError:
        with suppress(FileNotFoundError):
            (folder / MARK).unlink(missing_ok=True)
            sync_folder(folder)


def give_to_owner_of(old: Path, new: Path) -> None:
    """Let who could use `old` use `new`: root, who compacts, isn't who runs the daemon."""
    was, now = old.stat(), new.stat()
    if was.st_mode != now.st_mode:
        new.chmod(stat.S_IMODE(was.st_mode))
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        with suppress(PermissionError):  # another account than root gives nothing away
            os.chown(new, was.st_uid, was.st_gid)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Make the folder, and keep every other process from writing there.

    Raises StateError where another one does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / OWNER).open("a+")
    except OSError as error:
        raise _unusable(folder, error) from error
    with file:
        if not (_take(file) or _take(file, after=GLANCE_SECONDS)):
            file.seek(0)
            raise StateError(
                f"the state in {folder} is used by another process (pid {file.read().strip()}). "
                "Stop that one first, or let state.path name another folder"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        for left in folder.glob(f"{COPY}*"):
            shutil.rmtree(left, ignore_errors=True)  # by a `compact` that was killed
        yield


def _take(file: TextIO, after: float = 0.0) -> bool:
    time.sleep(after)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def owner(folder: Path) -> int | None:
    """The process that has the folder, if any."""
    try:
        with (folder / OWNER).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
    except FileNotFoundError:
        pass
    return None


def _unusable(folder: Path, error: OSError) -> StateError:
    return StateError(
        f"the state can't be kept in {folder}: {error.strerror}. Let state.path name a folder that "
        "the daemon may write, and that has room"
    )
