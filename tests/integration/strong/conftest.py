"""What the tests of strong consistency share: a server whose commits wait for the daemon."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import pytest

from cdc_daemon import embedded
from tests.generators.forked import command
from tests.generators.rest import Refused
from tests.generators.running_daemon import until
from tests.integration.pipeline.conftest import (  # noqa: F401 - fixtures, for all tests here
    rest,
    start_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon

SETTINGS: dict[str, str | int] = {"synchronous_commit": "local", "max_prepared_transactions": 10}
"""As recommended: who wants to wait says so."""
PATIENCE_SECONDS = 60.0
"""What a busy machine may take for what takes some milliseconds."""
ITEMS = {"items": {"from": "public.item", "fields": "*", "freshness": "1h"}}
"""Nothing is searchable in time unless somebody waits for it."""
STRICT: dict[str, Any] = {"strong": {}}
DEGRADING = {"strong": {"when_away": "degrade", "release_after": "5s"}}
STATES = "select sync_state from pg_stat_replication where application_name = %s"


class Cluster:
    """The server's `synchronous_standby_names`, and who is waited for."""

    def __init__(self, server: embedded.PostgresServer) -> None:
        self.server = server

    def wait_for(self, names: str) -> None:
        """Have commits wait for these standbys; empty: for none."""
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute(f"alter system set synchronous_standby_names = '{names}'")
            connection.execute("select pg_reload_conf()")

    def state_of(self, name: str) -> str | None:
        """`sync`, `potential`, `quorum`, `async`; None if it isn't connected."""
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            row = connection.execute(STATES, [name]).fetchone()
        return row[0] if row else None

    def make_strong(self, daemon: RunningDaemon) -> str:
        """Have commits wait for a daemon that streams, and nobody else; its name."""
        daemon.wait_until("streaming")
        daemon.catch_up()
        name = standby_name(daemon)
        self.wait_for(f'FIRST 1 ("{name}")')
        until(lambda: self.state_of(name) == "sync", PATIENCE_SECONDS, f"{name} is synchronous")
        until(lambda: daemon.total("cdc_strong_active") == 1, PATIENCE_SECONDS, "it knows that")
        return name

    def close(self) -> None:
        """Nobody waits any more."""
        with psycopg.connect(self.server.dsn, autocommit=True) as connection:
            connection.execute("alter system reset synchronous_standby_names")
            connection.execute("select pg_reload_conf()")


class StartCommit(Protocol):
    """Begins a COMMIT that waits."""

    def __call__(self, *statements: str, level: str = ..., dsn: str = ...) -> Commit:
        """On the test's database, unless another one is given."""


class StartGuard(Protocol):
    """Starts the guard of a daemon; it is ended with the test."""

    def __call__(self, daemon: RunningDaemon, *options: str) -> subprocess.Popen[bytes]:
        """Return once it is connected."""


class Commit(threading.Thread):
    """A transaction whose COMMIT waits until it is searchable, in a thread of its own."""

    def __init__(self, dsn: str, *statements: str, level: str = "remote_apply") -> None:
        super().__init__(daemon=True)
        self._statements = statements
        self._level = level
        self.warnings: list[str] = []
        self.failure: BaseException | None = None
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.add_notice_handler(
            lambda notice: self.warnings.append(notice.message_primary or "")
        )
        self.start()

    def run(self) -> None:
        """Do it."""
        try:
            self.connection.execute("begin")
            self.connection.execute(f"set local synchronous_commit = {self._level}")
            for statement in self._statements:
                self.connection.execute(statement)
            self.connection.execute("commit")
        except psycopg.Error as error:
            self.failure = error
        finally:
            self.connection.close()

    @property
    def waits(self) -> bool:
        """Whether it hasn't returned."""
        return self.is_alive()

    def returned(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for the end of it, which must not be an error."""
        self.join(seconds)
        assert not self.is_alive(), f"COMMIT has not returned within {seconds:g} s"
        assert self.failure is None, self.failure

    def cancel(self) -> None:
        """What a client does that doesn't want to wait any longer."""
        self.connection.cancel_safe(timeout=PATIENCE_SECONDS)


def run_strong(
    daemon: RunningDaemon, *arguments: str, answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """Call `cdc-daemon strong` with the daemon's configuration."""
    verb, *options = arguments
    return command("strong", verb, str(daemon.file), *options, answer=answer)


def enable(daemon: RunningDaemon) -> None:
    """Let commits wait, as a person would."""
    daemon.wait_until("streaming")
    daemon.catch_up()
    enabled = run_strong(daemon, "enable", "--yes")
    assert enabled.returncode == 0, enabled.stderr
    until(lambda: daemon.total("cdc_strong_active") == 1, PATIENCE_SECONDS, "it knows that")


def standby_name(daemon: RunningDaemon) -> str:
    """What the daemon calls itself."""
    return f"cdc-daemon:{daemon.status()['pipeline']}"


def found(search: Rest, query: str, index: str = "items") -> int:
    """How many documents one search finds, now."""
    try:
        answer = search.get(f"/{index}/_count?q={query}")
    except Refused:  # it isn't there yet
        return 0
    count: int = answer["count"]
    return count


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[embedded.PostgresServer]:
    """A PostgreSQL whose commits these tests let wait."""
    version = request.config.getoption("--postgres")
    with embedded.postgres(
        version=version, settings=SETTINGS, fsync=False, progress=lambda _: None
    ) as server:
        yield server


@pytest.fixture
def cluster(postgres_server: embedded.PostgresServer) -> Iterator[Cluster]:
    """Its setting; nobody is waited for before and after the test."""
    opened = Cluster(postgres_server)
    yield opened
    opened.close()


@pytest.fixture
def commit(database: Database, cluster: Cluster) -> Iterator[StartCommit]:
    """Begin a COMMIT on the test's database that waits; all have ended with the test."""
    begun: list[Commit] = []

    def begin(*statements: str, level: str = "remote_apply", dsn: str = database.dsn) -> Commit:
        begun.append(Commit(dsn, *statements, level=level))
        return begun[-1]

    yield begin
    cluster.wait_for("")  # which wakes those that wait
    for each in begun:
        each.join(PATIENCE_SECONDS)


@pytest.fixture
def start_guard(cluster: Cluster) -> Iterator[StartGuard]:
    """Guards as their own processes."""
    with ExitStack() as stack:

        def start(daemon: RunningDaemon, *options: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "cdc_daemon", "strong", "guard", str(daemon.file), *options]
            )
            stack.callback(process.wait, PATIENCE_SECONDS)
            stack.callback(process.kill)
            name = standby_name(daemon).replace(":", "-guard:")
            until(lambda: cluster.state_of(name), PATIENCE_SECONDS, "the guard is connected")
            return process

        yield start


@pytest.fixture
def item(database: Database, cluster: Cluster) -> Iterator[psycopg.Connection]:  # noqa: ARG001 - nobody is waited for in the end
    """A session on a database with one table, that waits for nobody."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
        yield connection
