"""Real servers for all tests: started when first asked for, stopped at the end whatever happens."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import psycopg
import pytest
from psycopg import sql

from cdc_daemon import embedded
from cdc_daemon.embedded.kafka_users import Access
from tests.generators.schema_registry import schema_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from types import FrameType

    from cdc_daemon.embedded.kafka_users import KafkaTls
    from tests.generators.schema_registry import RegistryServer

VERSIONS = (15, 16, 18)
TEST_HEAP = "768m"
OF_THE_MACHINE = "[of the machine] "
"""Begins the reason of a skip that nobody could mend, so that it fails not even CI.

Only: what the version of PostgreSQL lacks that was asked for, no IPv6, no right to mount a disk.
"""
SEED = "PROPERTY_SEED="
"""In the line that a property test prints: how much it tried, and how to try it again."""
ServerType = TypeVar("ServerType", bound=embedded.Server)
PostgresOf: TypeAlias = "Callable[[int], embedded.PostgresServer]"


@dataclass(frozen=True, slots=True)
class Database:
    """A database of its own on a server that tests share."""

    server: embedded.PostgresServer
    name: str

    @property
    def dsn(self) -> str:
        """The superuser's connection to this database."""
        return self.server.dsn_of(self.name)


class StartPostgres(Protocol):
    """Starts a PostgreSQL for one test, which may stop, kill, freeze and start it again."""

    def __call__(
        self, version: int | None = None, settings: Mapping[str, str | int] | None = None
    ) -> embedded.PostgresServer:
        """Return it when it is ready; `version` None is the one that the tests run on."""


class StartOpenSearch(Protocol):
    """Starts an OpenSearch for one test, which may stop, kill, freeze and start it again."""

    def __call__(
        self, heap: str = TEST_HEAP, settings: Mapping[str, Any] | None = None
    ) -> embedded.OpenSearchServer:
        """Return it when it is ready."""


class StartKafka(Protocol):
    """Starts a Kafka for one test, which may stop, kill, freeze and start it again."""

    def __call__(
        self,
        settings: Mapping[str, Any] | None = None,
        users: tuple[str, ...] = (),
        tls: KafkaTls | None = None,
    ) -> embedded.KafkaServer:
        """Return it when it is ready; with `users` it lets nobody do anything but `admin`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the PostgreSQL version be chosen."""
    parser.addoption(
        "--postgres",
        type=int,
        choices=VERSIONS,
        default=18,
        help="major version of the PostgreSQL that tests run on (default: %(default)s)",
    )
    parser.addoption(
        "--fail-on-skip",
        action="store_true",
        help="a skipped test fails the run: CI has everything that tests need",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what property tests did, and why CI fails when it is only for skipped tests."""
    counts = _counts(terminalreporter.stats.get("passed", []))
    if counts:
        terminalreporter.section("what property tests did, and from which seed")
        terminalreporter.write_line("\n".join(counts))
    if config.getoption("--fail-on-skip") and _mendable(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line("skipped tests fail this run (--fail-on-skip)", red=True)


def _counts(passed: list[pytest.TestReport]) -> list[str]:
    """What tests printed that can be repeated: pytest shows it of those that fail only."""
    printed = (line for report in passed for line in report.capstdout.splitlines())
    return [line for line in printed if SEED in line]


def _mendable(skipped: list[pytest.TestReport]) -> list[pytest.TestReport]:
    """Those that could have been run, by installing or opening something."""
    return [report for report in skipped if OF_THE_MACHINE not in str(report.longrepr)]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Make skipped tests fail the run where that was asked for."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter is not None and _mendable(reporter.stats.get("skipped", []))
    if session.config.getoption("--fail-on-skip") and skipped and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure() -> None:
    """Make SIGTERM (`timeout 600 pytest`) end the run in order, so that no server stays behind."""

    def end(number: int, _: FrameType | None) -> None:
        pytest.exit(f"ended by signal {number}", returncode=128 + number)

    signal.signal(signal.SIGTERM, end)


@pytest.fixture(scope="session")
def postgres_of(request: pytest.FixtureRequest) -> Iterator[PostgresOf]:
    """Shared servers by their version, each started when first asked for. Leave them running."""
    with ExitStack() as servers:
        yield cache(lambda version: servers.enter_context(_postgres(request.config, version)))


@pytest.fixture(scope="session")
def postgres_server(
    request: pytest.FixtureRequest, postgres_of: PostgresOf
) -> embedded.PostgresServer:
    """The PostgreSQL that tests share (`--postgres` chooses the version): each leaves it running.

    All folders of tests have this one and the OpenSearch below, freeze and kill them or not: a
    server for each folder takes CI minutes to start.
    """
    return postgres_of(request.config.getoption("--postgres"))


@pytest.fixture(scope="session")
def opensearch(request: pytest.FixtureRequest) -> Iterator[embedded.OpenSearchServer]:
    """The OpenSearch that tests share: name indices so that they don't clash, leave it running."""
    context = embedded.opensearch(heap=TEST_HEAP, quick=True, progress=_quiet)
    with _announced(request.config, context) as server:
        yield server


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[embedded.KafkaServer]:
    """The Kafka that tests share: name topics so that they don't clash, leave it running."""
    with _announced(request.config, embedded.kafka(progress=_quiet)) as server:
        yield server


@pytest.fixture(scope="session")
def registry(request: pytest.FixtureRequest) -> Iterator[RegistryServer]:
    """The schema registry that tests share: name subjects so that they don't clash."""
    with _announced(request.config, schema_registry()) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(request: pytest.FixtureRequest) -> Iterator[embedded.RabbitServer]:
    """The RabbitMQ that tests share: name queues so that they don't clash, leave it running."""
    if not embedded.rabbitmq_is_installed():
        pytest.skip("RabbitMQ is not installed (Debian 12: apt-get install rabbitmq-server)")
    with _announced(request.config, embedded.rabbitmq(progress=_quiet)) as server:
        yield server


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh, empty database; dropped at the end together with its replication slots.

    A parameter is the version that it is on: `parametrize("database", [15, 18], indirect=True)`.
    """
    version = getattr(request, "param", None)
    if version is None:
        server = request.getfixturevalue("postgres_server")
    else:
        server = request.getfixturevalue("postgres_of")(version)
    with fresh_database(server) as fresh:
        yield fresh


@pytest.fixture
def database15(postgres_of: PostgresOf) -> Iterator[Database]:
    """The same on PostgreSQL 15, the system's."""
    with fresh_database(postgres_of(15)) as fresh:
        yield fresh


@pytest.fixture
def database16(postgres_of: PostgresOf) -> Iterator[Database]:
    """The same on PostgreSQL 16."""
    with fresh_database(postgres_of(16)) as fresh:
        yield fresh


@pytest.fixture
def private_postgres(request: pytest.FixtureRequest) -> Iterator[StartPostgres]:
    """Start PostgreSQL servers of this test's own: `private_postgres(settings={...})`."""
    with ExitStack() as servers:

        def start(
            version: int | None = None, settings: Mapping[str, str | int] | None = None
        ) -> embedded.PostgresServer:
            chosen = version or request.config.getoption("--postgres")
            return servers.enter_context(_postgres(request.config, chosen, settings))

        yield start


@pytest.fixture
def private_opensearch(request: pytest.FixtureRequest) -> Iterator[StartOpenSearch]:
    """Start OpenSearch servers of this test's own: `private_opensearch(settings={...})`."""
    with ExitStack() as servers:

        def start(
            heap: str = TEST_HEAP, settings: Mapping[str, Any] | None = None
        ) -> embedded.OpenSearchServer:
            context = embedded.opensearch(heap=heap, quick=True, settings=settings, progress=_quiet)
            return servers.enter_context(_announced(request.config, context))

        yield start


@pytest.fixture
def private_kafka(request: pytest.FixtureRequest) -> Iterator[StartKafka]:
    """Start Kafka servers of this test's own: `private_kafka(settings={...})`."""
    with ExitStack() as servers:

        def start(
            settings: Mapping[str, Any] | None = None,
            users: tuple[str, ...] = (),
            tls: KafkaTls | None = None,
        ) -> embedded.KafkaServer:
            access = Access(users, tls)
            context = embedded.kafka(settings=settings, access=access, progress=_quiet)
            return servers.enter_context(_announced(request.config, context))

        yield start


@contextmanager
def _postgres(
    config: pytest.Config, version: int, settings: Mapping[str, str | int] | None = None
) -> Iterator[embedded.PostgresServer]:
    if version == 15 and embedded.system_binaries(version) is None:
        pytest.skip("PostgreSQL 15 is not installed (Debian 12: apt-get install postgresql-15)")
    context = embedded.postgres(version=version, settings=settings, fsync=False, progress=_quiet)
    with _announced(config, context) as server:
        yield server


@contextmanager
def _announced(
    config: pytest.Config, context: AbstractContextManager[ServerType]
) -> Iterator[ServerType]:
    began = time.monotonic()
    with context as server:
        seconds = time.monotonic() - began
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            print(f"\n[{server.name}: ready after {seconds:.1f} s]", file=sys.stderr)  # noqa: T201 - a progress line
        yield server


def _quiet(_: str) -> None:
    """One line for each start is enough here."""


@contextmanager
def fresh_database(server: embedded.PostgresServer) -> Iterator[Database]:
    """An empty database, for as long as the context lasts; dropped with its replication slots."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with _administrator(server) as administrator:
        administrator.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        yield Database(server, name)
    finally:
        with _administrator(server) as administrator:
            _drop(administrator, name)


@contextmanager
def _administrator(server: embedded.PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        yield connection


def _drop(administrator: psycopg.Connection, name: str) -> None:
    """Drop a database whatever still uses it; a slot whose reader was cut off takes a moment."""
    administrator.execute(
        "select pg_terminate_backend(active_pid) from pg_replication_slots"
        " where database = %s and active",
        [name],
    )
    deadline = time.monotonic() + 10
    slots = "select slot_name, active from pg_replication_slots where database = %s"
    while left := administrator.execute(slots, [name]).fetchall():
        for slot, active in left:
            if not active or time.monotonic() > deadline:
                administrator.execute("select pg_drop_replication_slot(%s)", [slot])
        time.sleep(0.02)
    statement = sql.SQL("drop database if exists {} with (force)")
    administrator.execute(statement.format(sql.Identifier(name)))
