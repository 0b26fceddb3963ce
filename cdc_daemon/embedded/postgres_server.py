"""Starts a real PostgreSQL on 127.0.0.1, ready for logical replication."""

from __future__ import annotations

import secrets
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.errors import EmbeddedError
from cdc_daemon.embedded.folder import server_folder
from cdc_daemon.embedded.ports import HOST, free_port
from cdc_daemon.embedded.postgres_binaries import binaries
from cdc_daemon.embedded.process import UTF8_LOCALE, Launch, Server, run
from cdc_daemon.embedded.progress import MEGABYTE, Progress, to_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SUPERUSER = "postgres"
DEFAULT_VERSION = 18
DATA_BYTES = 200 * MEGABYTE
"""An empty cluster takes 40 MB, and 64 MB of log are kept before a checkpoint."""
LONGEST_SOCKET_FOLDER = 85
"""A socket's path has at most 107 bytes, and the server appends its own name."""
CONNECT_TIMEOUT_SECONDS = 2

SETTINGS: dict[str, str | int] = {
    "listen_addresses": HOST,
    "wal_level": "logical",
    "max_wal_senders": 20,
    "max_replication_slots": 20,
}
UNSAFE_SETTINGS: dict[str, str | int] = {"fsync": "off", "full_page_writes": "off"}
"""A crash of the machine would ruin the data; a crash of the server, even SIGKILL, would not."""


class PostgresServer(Server):
    """A PostgreSQL cluster that was started here."""

    def __init__(self, launch: Launch, version: int, password: str, progress: Progress) -> None:
        super().__init__(launch, progress)
        self.version = version
        """The major version."""
        self.password = password
        """The superuser's."""

    @property
    def dsn(self) -> str:
        """The superuser's connection to the database `postgres`, as a URL."""
        return self.dsn_of("postgres")

    @property
    def socket_folder(self) -> Path | None:
        """Where the Unix socket is; None if the data folder's path is too long for one."""
        return _socket_folder(self.folder)

    def dsn_of(self, database: str) -> str:
        """The superuser's connection to another database."""
        return _dsn(self.port, self.password, database)


@contextmanager
def postgres(
    *,
    version: int = DEFAULT_VERSION,
    data: Path | None = None,
    settings: Mapping[str, str | int] | None = None,
    fsync: bool = True,
    port: int | None = None,
    progress: Progress = to_stderr,
) -> Iterator[PostgresServer]:
    """Run PostgreSQL for as long as the context lasts; it is ready when the context begins.

    `version`: 16 or 18, or another one that the system has installed. `data`: its folder, kept for
    the next time; None is a temporary one. `settings`: passed as `-c name=value`. `fsync` False is
    faster, for data nobody needs. Raises EmbeddedError, which says what to do.
    """
    account = server_account()
    programs = binaries(version, progress)
    with server_folder("postgres", data, account, DATA_BYTES) as folder:
        password = _password(folder)
        port = port or free_port()
        chosen = {
            **SETTINGS,
            **({} if fsync else UNSAFE_SETTINGS),
            "port": port,
            "unix_socket_directories": str(_socket_folder(folder) or ""),
            **(settings or {}),
        }
        launch = Launch(
            name=f"PostgreSQL {version}",
            command=[programs / "postgres", "-D", folder / "data", *_options(chosen)],
            folder=folder,
            port=port,
            account=account,
            is_ready=lambda: _is_ready(_dsn(port, password, "postgres")),
            # Fast shutdown first; it waits for a walsender whose client is stuck, so then at once.
            stop_signals=(signal.SIGINT, signal.SIGQUIT),
        )
        _initialize(launch, programs, version)
        with PostgresServer(launch, version, password, progress) as server:
            server.start()
            yield server


def _initialize(launch: Launch, programs: Path, version: int) -> None:
    """Make the cluster unless it is there. Bytewise order and UTF-8 everywhere: no surprises."""
    made_by = launch.folder / "data" / "PG_VERSION"
    if made_by.exists():
        _require_same(made_by, version)
        return
    give(launch.folder, launch.account)
    password = launch.folder / "password"
    command: list[str | Path] = [
        *(programs / "initdb", "-D", launch.folder / "data", "-U", SUPERUSER, "--no-sync"),
        *("--encoding=UTF8", "--lc-collate=C", f"--lc-ctype={UTF8_LOCALE}", "--lc-messages=C"),
        *("--auth=scram-sha-256", f"--pwfile={password}"),
    ]
    run(launch, command)


def _require_same(made_by: Path, version: int) -> None:
    found = made_by.read_text().strip()
    if found != str(version):
        raise EmbeddedError(
            f"The data in {made_by.parent} was made by PostgreSQL {found}, and PostgreSQL "
            f"{version} can't read it. Start version {found}, or choose another folder."
        )


def _password(folder: Path) -> str:
    """The superuser's password, made up when the folder is new: other users must stay out."""
    file = folder / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(18))
    return file.read_text().strip()


def _options(settings: Mapping[str, str | int]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _socket_folder(folder: Path) -> Path | None:
    return folder if len(str(folder)) <= LONGEST_SOCKET_FOLDER else None


def _dsn(port: int, password: str, database: str) -> str:
    return f"postgresql://{SUPERUSER}:{password}@{HOST}:{port}/{database}"


def _is_ready(dsn: str) -> bool:
    import psycopg  # noqa: PLC0415 - costs 0.3 s, and only this needs it

    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True
