"""A standby of a real primary, as docs/how-to/high-availability.md has it, and its promotion."""

from __future__ import annotations

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from cdc_daemon import embedded
from cdc_daemon.delivery import checkpointer
from cdc_daemon.embedded.account import give, server_account
from cdc_daemon.embedded.postgres_binaries import binaries
from tests.conftest import OF_THE_MACHINE
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST = 16
PHYSICAL_SLOT = "standby_1"
_CONFIRMED = (
    "select 1 from pg_replication_slots where confirmed_flush_lsn >= %s::pg_lsn and slot_name = %s"
)
_SYNCED = "select synced and not temporary from pg_replication_slots where slot_name = %s"


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its standby."""

    primary: embedded.PostgresServer
    standby: embedded.PostgresServer

    def source(self, database: str) -> dict[str, str]:
        """The standby as a source, of that database."""
        dsn, primary_dsn = self.standby.dsn_of(database), self.primary.dsn_of(database)
        return {"dsn": dsn, "primary_dsn": primary_dsn}

    def wait_replayed(self) -> None:
        """Wait until the standby has what the primary has by now."""
        with psycopg.connect(self.primary.dsn, autocommit=True) as connection:
            wait_replayed(self.standby, flushed(connection))

    def drop_slots(self) -> None:
        """Give up what the standby keeps for anybody."""
        with psycopg.connect(self.standby.dsn, autocommit=True) as connection:
            slots = "select slot_name from pg_replication_slots where not active"
            drop = f"select pg_drop_replication_slot(slot_name) from ({slots}) as unused"
            left = "select 1 from pg_replication_slots"

            def dropped() -> bool:
                connection.execute(drop)
                return connection.execute(left).fetchone() is None

            until(dropped, 20, "the slots are gone")


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """One for a module of tests, which leave both running."""
    with started_pair(request) as made:
        yield made


@pytest.fixture
def private_pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """One for a test, which may do with it what it likes."""
    with started_pair(request) as made:
        yield made


@contextmanager
def started_pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Of the version that the tests run on; a standby decodes from PostgreSQL 16 on."""
    version = request.config.getoption("--postgres")
    if version < OLDEST:
        pytest.skip(f"{OF_THE_MACHINE}a standby has logical slots from PostgreSQL 16 on")
    with (
        embedded.postgres(version=version, fsync=False, progress=lambda _: None) as primary,
        standby_of(primary) as standby,
    ):
        yield Pair(primary, standby)


@contextmanager
def standby_of(primary: embedded.PostgresServer) -> Iterator[embedded.PostgresServer]:
    """A copy of the primary that follows it."""
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute("select pg_create_physical_replication_slot(%s, true)", [PHYSICAL_SLOT])
    with tempfile.TemporaryDirectory(prefix="cdc-postgres-") as made:
        folder = Path(made)
        (folder / ".cdc-daemon-postgres").touch()
        (folder / "password").write_text(primary.password)
        program = binaries(primary.version, lambda _: None) / "pg_basebackup"
        command = [str(program), "-d", primary.dsn, "-D", str(folder / "data"), "--checkpoint=fast"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        (folder / "data" / "standby.signal").touch()
        with (folder / "data" / "postgresql.auto.conf").open("a") as settled:
            settled.write("hot_standby_feedback = on\n")  # which a test may take back
        settings = {
            "primary_conninfo": primary.dsn,
            "primary_slot_name": PHYSICAL_SLOT,
            # Not sync_replication_slots = on, which does twice a minute what the test asks for.
        }
        with embedded.postgres(
            version=primary.version,
            data=folder,
            settings=settings,
            fsync=False,
            progress=lambda _: None,
        ) as server:
            yield server


def dsn_of_both(primary: embedded.PostgresServer, standby: embedded.PostgresServer) -> str:
    """Leads to whichever of the two is the primary."""
    parts = urlsplit(primary.dsn)
    account = parts.netloc.rpartition("@")[0]
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    return f"postgresql://{account}@{hosts}{parts.path}?target_session_attrs=read-write"


def change_history(server: embedded.PostgresServer) -> None:
    """Stop a server in order, and have it go on in another timeline, as one that was promoted."""
    server.stop()
    signal = server.folder / "data" / "standby.signal"
    signal.touch()
    give(signal, server_account())
    server.start()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("select pg_promote()")


def promote(primary: embedded.PostgresServer, standby: embedded.PostgresServer) -> None:
    """Once the standby has everything; the old primary is gone for good."""
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        wait_replayed(standby, flushed(connection))
    fail_over(primary, standby)


def fail_over(primary: embedded.PostgresServer, standby: embedded.PostgresServer) -> None:
    """With whatever the standby has."""
    primary.kill()
    with psycopg.connect(standby.dsn, autocommit=True) as copy:
        copy.execute("select pg_promote()")


def wait_replayed(standby: embedded.PostgresServer, end: str) -> None:
    """Wait until the standby has come so far."""
    replayed = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
    with psycopg.connect(standby.dsn, autocommit=True) as copy:
        until(lambda: copy.execute(replayed, [end]).fetchone() == (True,), 20, f"{end} is replayed")


def flushed(connection: psycopg.Connection) -> str:
    """The end of the primary's log."""
    found = connection.execute("select pg_current_wal_flush_lsn()::text").fetchone()
    assert found is not None
    return str(found[0])


def storing_often() -> None:
    """Prepare a daemon whose slot goes on in a second when nobody writes, so it is soon copied."""
    setattr(checkpointer, "IDLE_INTERVAL_SECONDS", 0.5)  # noqa: B010 - a constant, for all but tests


def copy_slot(
    primary: embedded.PostgresServer, standby: embedded.PostgresServer, slot: str
) -> None:
    """Give the standby a copy of the slot, while a daemon follows it, and nobody writes."""
    if primary.version >= 17:
        _sync_slot(primary, standby, slot)
    else:
        _make_slot(primary, standby, slot)


def _make_slot(
    primary: embedded.PostgresServer, standby: embedded.PostgresServer, slot: str
) -> None:
    """As something beside PostgreSQL does before 17: make it there, and have it follow ours."""
    with (
        psycopg.connect(primary.dsn, autocommit=True) as connection,
        psycopg.connect(standby.dsn, autocommit=True) as copy,
        ThreadPoolExecutor(1) as executor,
    ):
        make = "select pg_create_logical_replication_slot(%s, 'pgoutput')"
        made = executor.submit(lambda: copy.execute(make, [slot]))

        def done() -> bool:
            connection.execute("select pg_log_standby_snapshot()")
            return made.done()

        until(done, 60, "the standby has a slot", poll_seconds=0.2)
        made.result()
        end = flushed(connection)
        until(lambda: connection.execute(_CONFIRMED, [end, slot]).fetchone(), 30, "confirmed")


def _sync_slot(
    primary: embedded.PostgresServer, standby: embedded.PostgresServer, slot: str
) -> None:
    """The slot must have gone on to what the standby itself still has: the last transaction."""
    with (
        psycopg.connect(primary.dsn, autocommit=True) as connection,
        psycopg.connect(standby.dsn, autocommit=True) as copy,
    ):

        def synced() -> bool:
            connection.execute("select pg_log_standby_snapshot()")
            end = flushed(connection)
            until(lambda: connection.execute(_CONFIRMED, [end, slot]).fetchone(), 30, "confirmed")
            wait_replayed(standby, end)  # a slot that is ahead isn't copied
            copy.execute("select pg_sync_replication_slots()")
            return copy.execute(_SYNCED, [slot]).fetchone() == (True,)

        until(synced, 120, "the standby has a copy of the slot")
