"""Certificates of an authority of ours, in a folder that servers read too."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cdc_daemon.embedded.account import server_account

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST: Final = "127.0.0.1"


@contextmanager
def certificates(*names: str) -> Iterator[Path]:
    """A folder with `authority.pem`, and `NAME.key` and `NAME.pem` of each that it has signed.

    `NAME.both` has the two in one.
    """
    folder = Path(tempfile.mkdtemp(prefix="cdc-tls-", dir="/var/tmp"))
    try:
        authority = folder / "authority"
        _make(authority)
        for name in names:
            _make(folder / name, "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key")
            both = (folder / f"{name}.key").read_text() + (folder / f"{name}.pem").read_text()
            (folder / f"{name}.both").write_text(both)
        folder.chmod(0o755)
        if account := server_account():
            for path in folder.iterdir():
                os.chown(path, account.uid, account.gid)
        yield folder
    finally:
        shutil.rmtree(folder)


def _make(path: Path, *signed_by: str) -> None:
    """Without anything else it is signed by itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={path.name}", "-addext", f"subjectAltName=IP:{HOST}", *signed_by),
            *("-keyout", f"{path}.key", "-out", f"{path}.pem"),
        ],
        check=True,
        capture_output=True,
    )
