"""TLS, as libpq's settings in the DSN ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.embedded.account import server_account
from cdc_daemon.errors import SourceError
from tests.integration.postgres.conftest import MakeSource, read_commits, start, with_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.embedded import PostgresServer
    from tests.conftest import StartPostgres

ROWS, BYTES = 4000, 10_000


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[Path]:
    """A self-signed certificate for 127.0.0.1, in a folder that the server may read."""
    import tempfile  # noqa: PLC0415 - the server's account can't reach tmp_path
    from pathlib import Path  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="cdc-tls-", dir="/var/tmp"))
    make_certificate(folder / "server", "127.0.0.1")
    if account := server_account():
        for path in (folder, *folder.iterdir()):
            os.chown(path, account.uid, account.gid)
    shutil.copy(folder / "server.crt", tmp_path / "ca.crt")
    yield folder
    shutil.rmtree(folder)


def make_certificate(path: Path, host: str) -> None:
    """`path`.crt and `path`.key, signed by itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={host}", "-addext", f"subjectAltName=IP:{host}"),
            *("-keyout", f"{path}.key", "-out", f"{path}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    os.chmod(f"{path}.key", 0o600)  # noqa: PTH101 - a name with a suffix


@pytest.fixture
def server(private_postgres: StartPostgres, certificate: Path) -> PostgresServer:
    """A server with TLS: Debian's, because those from the packages are built without it."""
    return private_postgres(
        version=15,
        settings={
            "ssl": "on",
            "ssl_cert_file": str(certificate / "server.crt"),
            "ssl_key_file": str(certificate / "server.key"),
        },
    )


def test_certificates_are_verified(
    server: PostgresServer, make_source: MakeSource, tmp_path: Path
) -> None:
    """Another authority, a missing file, another host: refused with what is wrong."""
    make_certificate(tmp_path / "other", "127.0.0.1")
    strict = {"sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.crt")}
    make_source(with_settings(server.dsn, **strict)).describe([])
    wrong = [
        ({"sslrootcert": str(tmp_path / "other.crt")}, "certificate verify failed"),
        ({"sslrootcert": str(tmp_path / "none.crt")}, "none.crt.*does not exist"),
        ({"host": "localhost"}, "localhost"),
    ]
    for settings, says in wrong:
        source = make_source(with_settings(server.dsn, **{**strict, **settings}))
        with pytest.raises(SourceError, match=f"TLS settings|{says}") as caught:
            source.describe([])
        assert "refuses the connection" in str(caught.value)


def test_streams_over_tls_without_a_stall(
    server: PostgresServer, make_source: MakeSource, tmp_path: Path
) -> None:
    """Bytes that OpenSSL holds already are not slept on: tens of megabytes in large rows."""
    dsn = with_settings(
        server.dsn, sslmode="verify-full", sslrootcert=str(tmp_path / "ca.crt"), dbname="postgres"
    )
    source = make_source(dsn, slot="tls")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, name text)")
        connection.execute("alter table item alter name set storage external")
        start(source, "item")
        connection.execute(
            "insert into item select n, repeat('x', %s) from generate_series(1, %s) n",
            [BYTES, ROWS],
        )
        began = time.monotonic()
        changes = read_commits(source, 1)
        seconds = time.monotonic() - began
        print(f"TLS: {ROWS * BYTES / 1e6 / seconds:.0f} MB/s")  # noqa: T201 - the measurement
        assert len(changes) == ROWS
        for number in range(20):
            connection.execute("insert into item values (%s, 'small')", [-number])
            began = time.monotonic()
            assert len(read_commits(source, 1)) == 1
            assert time.monotonic() - began < 1, "it waited for the timeout of a read"
    source.close()
