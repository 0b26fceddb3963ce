"""The unprivileged account that servers run as when root starts them: they refuse root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody that a server can run as."""

    name: str
    uid: int
    gid: int


def server_account() -> Account | None:
    """The account to switch to; None when we are not root and servers can run as ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL and OpenSearch refuse to run as root, and there is no account "
            f"{UNPRIVILEGED!r} to run them as. Create it, or start this as an ordinary user."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def give(folder: Path, account: Account | None) -> None:
    """Make `account` the owner of `folder` and all that is in it; keep others out."""
    folder.chmod(0o700)
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def require_reachable(path: Path, account: Account | None) -> None:
    """Raise EmbeddedError if `account` can't pass through the folders that lead to `path`."""
    if account is None:
        return
    for folder in path.resolve().parents:
        if folder.exists() and not _may_pass(folder.stat(), account):
            raise EmbeddedError(
                f"Servers started by root run as {account.name!r}, who can't reach {path}: "
                f"{folder} is closed to others. Choose a folder that others can pass through "
                "(below /var/tmp, say; for the cache set CDC_DAEMON_CACHE), or start this as an "
                "ordinary user."
            )


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
