"""TLS, as `source.tls` asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.embedded.account import server_account
from cdc_daemon.embedded.ports import free_port
from cdc_daemon.errors import RetryError, SourceError
from connectors.rabbitmq.config import RabbitConfig
from connectors.rabbitmq.session import Session
from tests.integration.rabbitmq.conftest import HOTEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """Two authorities, and what each has signed, in a folder that the server reads."""
    folder = Path(tempfile.mkdtemp(prefix="cdc-tls-", dir="/var/tmp"))
    for authority, signed in (("authority", "ours"), ("stranger", "theirs")):
        make(folder / authority)
        make(
            folder / signed,
            "-CA",
            f"{folder / authority}.pem",
            "-CAkey",
            f"{folder / authority}.key",
        )
    folder.chmod(0o755)
    if account := server_account():
        for path in folder.iterdir():
            os.chown(path, account.uid, account.gid)
    yield folder
    shutil.rmtree(folder)


def make(path: Path, *signed_by: str) -> None:
    """`path`.pem and `path`.key; without anything else it is signed by itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={path.name}", "-addext", f"subjectAltName=IP:{HOST}", *signed_by),
            *("-keyout", f"{path}.key", "-out", f"{path}.pem"),
        ],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def port(rabbitmq: embedded.RabbitServer, certificates: Path) -> int:
    """Where the shared server listens by TLS as well; it wants to see certificates of clients."""
    number = free_port()
    files = {"certfile": "ours.pem", "keyfile": "ours.key", "cacertfile": "authority.pem"}
    options = ", ".join(f'{{{key}, "{certificates / file}"}}' for key, file in files.items())
    asks = "{verify, verify_peer}, {fail_if_no_peer_cert, false}"
    rabbitmq._evaluate(
        "application:ensure_all_started(ssl), rabbit_networking:start_ssl_listener("
        f'{{"{HOST}", {number}, inet}}, [{options}, {asks}], 1), ok'
    )
    return number


def session(port: int, **tls: Any) -> Session:
    """A connection by TLS, with that part of the section."""
    section = {
        "type": "rabbitmq",
        "url": f"amqps://guest:guest@{HOST}:{port}/",
        "queues": ["a"],
        "tables": {"hotel": HOTEL},
        "tls": {key: str(value) for key, value in tls.items()} if "verify" not in tls else tls,
    }
    return Session(RabbitConfig.model_validate(section), "tls")


def test_certificates_are_verified(port: int, certificates: Path) -> None:
    """The right authority lets us in; another one, or a file that isn't there, is refused."""
    session(port, ca=certificates / "authority.pem").close()
    session(port, verify=False).close()
    for ca, said in (("stranger.pem", "certificate verify failed"), ("none.pem", "none.pem")):
        with pytest.raises(SourceError, match=said):
            session(port, ca=certificates / ca)


def test_we_show_our_certificate(port: int, certificates: Path) -> None:
    """One that the server trusts is taken, one that it doesn't isn't."""
    for name, taken in (("ours", True), ("theirs", False)):
        shown = {
            "client_cert": certificates / f"{name}.pem",
            "client_key": certificates / f"{name}.key",
        }
        trusted = {"ca": certificates / "authority.pem", **shown}
        if taken:
            session(port, **trusted).close()
        else:
            with pytest.raises((SourceError, RetryError)):
                session(port, **trusted)


def test_plain_does_not_speak_to_tls(rabbitmq: embedded.RabbitServer, certificates: Path) -> None:
    """A port without TLS is no server that could be trusted."""
    with pytest.raises(RetryError):
        session(rabbitmq.port, ca=certificates / "authority.pem")
