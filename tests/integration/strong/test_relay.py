"""Commits that wait for a relay: they return when who reads committed messages sees them."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from connectors.kafka.relay.config import KafkaRelayConfig
from connectors.relay.topic import LogTopic
from tests.generators.running_daemon import until
from tests.integration.relaying.conftest import (  # noqa: F401 - fixtures, for all tests here
    TABLES,
    hotels,
    start_relay,
)
from tests.integration.strong.conftest import (
    DEGRADING,
    PATIENCE_SECONDS,
    STRICT,
    enable,
    run_strong,
    standby_name,
)
from tests.integration.strong.test_away import HANGS_SECONDS, KILLED_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.integration.relaying.conftest import Relayed, StartRelay
    from tests.integration.strong.conftest import Cluster, StartCommit, StartGuard

COMMITS = 100
LSN = "select pg_current_wal_insert_lsn() - '0/0'"


class Reader:
    """Who reads what is committed of a relay's log."""

    def __init__(self, relay: Relayed, kafka: embedded.KafkaServer) -> None:
        section: dict[str, Any] = {
            "type": "kafka",
            "bootstrap_servers": kafka.bootstrap_servers,
        }
        self.topic = LogTopic(KafkaRelayConfig.model_validate(section), relay.log, "reader")

    def has(self, position: int) -> bool:
        """Whether it sees a transaction that ends beyond."""
        last = self.topic.last()
        return last is not None and last.place.position > position


@pytest.fixture
def readers(kafka: embedded.KafkaServer) -> Iterator[Any]:
    """Makes readers."""
    made: list[Reader] = []

    def make(relay: Relayed) -> Reader:
        made.append(Reader(relay, kafka))
        return made[-1]

    yield make
    for one in made:
        one.topic.close()


def missed(dsn: str, reader: Reader, level: str, first: int) -> int:
    """How many of some COMMITs aren't seen by the reader when they have returned."""
    lacking = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        for number in range(first, first + COMMITS):
            with connection.transaction():
                connection.execute(f"set local synchronous_commit = {level}")
                connection.execute("insert into hotel values (%s, 'new', 1)", [number])
                [(position,)] = connection.execute(LSN).fetchall()
            lacking += not reader.has(int(position))
    return lacking


def test_what_was_committed_is_in_kafka(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    database: Database,
    cluster: Cluster,  # noqa: ARG001 - nobody is waited for in the end
    readers: Any,
) -> None:
    """At `on` as at `remote_apply`; at `local` they return although the relay reads nothing."""
    relay = start_relay(log=True, consistency=STRICT)
    enable(relay.daemon)
    reader = readers(relay)
    relay.daemon.signal(signal.SIGSTOP)
    assert missed(database.dsn, reader, "local", 0) == COMMITS
    relay.daemon.signal(signal.SIGCONT)
    assert missed(database.dsn, reader, "on", 1000) == 0
    assert missed(database.dsn, reader, "remote_apply", 2000) == 0
    assert relay.daemon.total("cdc_strong_commit_seconds_count") >= 2 * COMMITS
    status = run_strong(relay.daemon, "status")
    assert "return when who reads committed messages sees" in status.stdout
    disabled = run_strong(relay.daemon, "disable")
    assert disabled.returncode == 0, disabled.stderr
    until(lambda: relay.daemon.total("cdc_strong_active") == 0, PATIENCE_SECONDS, "nobody waits")


def test_commits_elsewhere_go_on(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    hotels: psycopg.Connection,  # noqa: F811 - the fixture
    database: Database,
    cluster: Cluster,
    commit: StartCommit,
) -> None:
    """Also those of other databases, of tables that aren't relayed, at every level."""
    cluster.make_strong(start_relay(consistency=STRICT).daemon)
    hotels.execute("create table unmapped (id int)")
    with psycopg.connect(database.server.dsn, autocommit=True) as elsewhere:
        elsewhere.execute("create table if not exists other (id int)")
    for level in ("remote_apply", "on", "remote_write", "local"):
        for number in range(5):
            statement = f"insert into other values ({number})"
            commit(statement, level=level, dsn=database.server.dsn).returned()
            commit(f"insert into unmapped values ({number})", level=level).returned()


def test_strict_commits_wait_until_the_relay_is_back(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    cluster: Cluster,
    commit: StartCommit,
) -> None:
    """Killed with -9 nothing returns, and all is there, once, when it does."""
    relay = start_relay(consistency=STRICT)
    enable(relay.daemon)
    name = standby_name(relay.daemon)
    relay.daemon.kill()
    until(lambda: cluster.state_of(name) is None, KILLED_SECONDS, "the server has noticed")
    waiting = [commit(f"insert into hotel values ({number}, 'new')") for number in range(5)]
    waiting[0].join(HANGS_SECONDS)
    assert all(each.waits for each in waiting)
    relay.daemon.start()
    for each in waiting:
        each.returned()
    assert not any(each.warnings for each in waiting)
    created = [event["after"]["id"] for event in relay.events("public.hotel")]
    assert sorted(created) == list(range(5))


def test_commits_wait_while_kafka_is_frozen(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    cluster: Cluster,
    commit: StartCommit,
    kafka: embedded.KafkaServer,
) -> None:
    """They are there once it goes on; and who has disabled waiting gets them at once."""
    relay = start_relay(consistency=STRICT)
    enable(relay.daemon)
    kafka.pause()
    first = commit("insert into hotel values (1, 'new')")
    first.join(HANGS_SECONDS)
    assert first.waits
    kafka.resume()
    first.returned()
    assert not first.warnings
    assert [event["after"]["id"] for event in relay.events("public.hotel")] == [1]
    kafka.pause()
    second = commit("insert into hotel values (2, 'new')")
    second.join(HANGS_SECONDS)
    assert second.waits
    cluster.wait_for("")
    second.returned()


def test_a_guard_stands_in(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    cluster: Cluster,
    commit: StartCommit,
    start_guard: StartGuard,
) -> None:
    """With `degrade` commits go on while the relay is away, killed or frozen."""
    relay = start_relay(consistency=DEGRADING)
    relay.daemon.wait_until("streaming")
    start_guard(relay.daemon)
    enable(relay.daemon)
    name = standby_name(relay.daemon)
    relay.daemon.signal(signal.SIGSTOP)
    commit("insert into hotel values (1, 'new')").returned()
    relay.daemon.signal(signal.SIGCONT)
    until(lambda: cluster.state_of(name) == "sync", PATIENCE_SECONDS, "it is back")
    relay.daemon.kill()
    commit("insert into hotel values (2, 'new')").returned()
    relay.daemon.start()
    until(lambda: cluster.state_of(name) == "sync", PATIENCE_SECONDS, "it is back")
    commit("insert into hotel values (3, 'new')").returned()
    assert [event["after"]["id"] for event in relay.events("public.hotel")] == [1, 2, 3]


def test_a_type_that_nobody_sees_yet_is_no_type_that_is_gone(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    cluster: Cluster,
    commit: StartCommit,
) -> None:
    """The COMMIT that has made it is let go, with the server's warning, and its rows are whole."""
    relay = start_relay(consistency=STRICT)
    cluster.make_strong(relay.daemon)
    migration = commit(
        "create type mood as enum ('fine')",
        "alter table hotel add column mood mood",
        "insert into hotel values (1, 'new', 1, 1, null, 'fine')",
    )
    migration.returned()
    assert migration.warnings
    commit("insert into hotel values (2, 'new', 1, 1, null, 'fine')").returned()
    moods = {event["after"]["id"]: event["after"]["mood"] for event in relay.events("public.hotel")}
    assert moods == {1: "fine", 2: "fine"}
    assert relay.daemon.total("cdc_relay_unreadable_changes_total") == 0


def test_a_start_goes_on_though_a_commit_holds_its_table(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    cluster: Cluster,
    commit: StartCommit,
) -> None:
    """A TRUNCATE that waits for the relay keeps it from looking at the table: that is let go."""
    relay = start_relay(consistency=STRICT)
    cluster.make_strong(relay.daemon)
    name = standby_name(relay.daemon)
    commit("insert into hotel values (1, 'new')").returned()
    relay.daemon.kill()
    until(lambda: cluster.state_of(name) is None, KILLED_SECONDS, "the server has noticed")
    waiting = commit("alter table hotel add column more int", "truncate hotel")
    waiting.join(HANGS_SECONDS)
    assert waiting.waits
    relay.daemon.start()
    waiting.returned()
    commit("insert into hotel values (2, 'new')").returned()
    assert [event["op"] for event in relay.events("public.hotel")] == ["c", "t", "c"]


def test_rows_are_relayed_while_commits_wait(
    start_relay: StartRelay,  # noqa: F811 - the fixture
    hotels: psycopg.Connection,  # noqa: F811 - the fixture
    cluster: Cluster,
    commit: StartCommit,
) -> None:
    """The load of a table that joins neither holds commits, nor waits for them for ever."""
    relay = start_relay(consistency=STRICT, start=False)
    relay_tables(relay, "public.hotel")
    relay.daemon.start()
    name = cluster.make_strong(relay.daemon)
    relay.daemon.kill()
    until(lambda: cluster.state_of(name) is None, KILLED_SECONDS, "the server has noticed")
    hotels.execute("insert into room select n, 'old', 1 from generate_series(1, 20000) n")
    waiting = [
        commit(f"insert into {table} values ({number}, 'new')")
        for table in ("hotel", "room")
        for number in range(-3, 0)
    ]
    waiting[-1].join(HANGS_SECONDS)
    relay_tables(relay, *TABLES)
    relay.daemon.start()
    for each in waiting:
        each.returned()
    relay.daemon.wait_until("streaming")
    assert len(relay.rows("public.hotel")) == 3
    assert len(relay.rows("public.room")) == 20003


def relay_tables(relay: Relayed, *tables: str) -> None:
    """From its next start on it relays these."""
    configuration = json.loads(relay.daemon.file.read_text())
    configuration["relay"]["tables"] = tables
    relay.daemon.file.write_text(json.dumps(configuration))
