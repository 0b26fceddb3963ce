"""What a synchronous standby can stumble over, one thing each: no commit hangs, none is missed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.generators.running_daemon import until
from tests.integration.strong.conftest import (
    ITEMS,
    PATIENCE_SECONDS,
    STRICT,
    Commit,
    enable,
    found,
)

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer, PostgresServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import Cluster, StartCommit

HANGS_SECONDS = 1.0
MANY_ROWS = 50_000
UNSENT = "alter table item add big text; alter table item alter big set storage external"


def drop_slots(connection: psycopg.Connection) -> bool:
    """Drop the database's slots that nobody reads; whether none is left."""
    connection.execute(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
        " where database = current_database() and not active"
    )
    left = connection.execute(
        "select 1 from pg_replication_slots where database = current_database()"
    )
    return left.fetchone() is None


@pytest.fixture
def daemon(item: psycopg.Connection, start_daemon: StartDaemon, cluster: Cluster) -> RunningDaemon:  # noqa: ARG001 - for their effect
    """Commits wait for it."""
    started = start_daemon(ITEMS, consistency=STRICT)
    enable(started)
    return started


@pytest.mark.usefixtures("daemon")
def test_a_commit_that_is_cancelled_is_made_and_warned_of(
    commit: StartCommit, opensearch: OpenSearchServer, rest: Rest
) -> None:
    """While OpenSearch is away a client stops waiting; who goes on waiting finds all."""
    opensearch.pause()
    cancelled = commit("insert into item values (1, 1)")
    waiting = commit("insert into item values (2, 1)")
    cancelled.join(HANGS_SECONDS)
    assert cancelled.waits
    assert waiting.waits
    cancelled.cancel()
    cancelled.returned()
    assert cancelled.warnings == ["canceling wait for synchronous replication due to user request"]
    opensearch.resume()
    waiting.returned()
    assert waiting.warnings == []
    assert found(rest, "n:1") == 2


@pytest.mark.usefixtures("daemon")
def test_prepared_transactions_wait_twice_and_return(database: Database, rest: Rest) -> None:
    """PREPARE TRANSACTION isn't streamed, COMMIT PREPARED is: the second returns when found."""
    with psycopg.connect(database.dsn, autocommit=True) as session:
        session.execute("set synchronous_commit = remote_apply")
        for number in range(3):
            session.execute("begin")
            session.execute("insert into item values (%s, 2)", [number])
            session.execute(f"prepare transaction 'strong {number}'")
            assert found(rest, "n:2") == number
            session.execute(f"commit prepared 'strong {number}'")
            assert found(rest, "n:2") == number + 1


@pytest.mark.usefixtures("daemon")
def test_a_large_transaction_ahead_is_waited_for(
    item: psycopg.Connection, commit: StartCommit, rest: Rest
) -> None:
    """A small commit behind it returns when both are found."""
    item.execute("insert into item select i, 3 from generate_series(1, %s) i", [MANY_ROWS])
    commit("insert into item values (0, 4)").returned()
    assert found(rest, "n:4") == 1
    assert found(rest, "n:3") == MANY_ROWS


@pytest.mark.usefixtures("item")
def test_a_document_that_can_not_be_written_holds_nobody(
    start_daemon: StartDaemon, commit: StartCommit, rest: Rest
) -> None:
    """A dead letter counts as searchable: its COMMIT returns, and so do the next ones."""
    fields = {"id": None, "n": {"type": "byte"}}
    daemon = start_daemon({"items": {**ITEMS["items"], "fields": fields}}, consistency=STRICT)
    enable(daemon)
    commit("insert into item values (1, 70000)").returned()
    assert daemon.status()["dead_letters"] == 1
    commit("insert into item values (2, 7)").returned()
    assert found(rest, "n:7") == 1


def test_values_that_were_not_sent_hold_nobody(
    item: psycopg.Connection, start_daemon: StartDaemon, commit: StartCommit, rest: Rest
) -> None:
    """A large value that an update left out comes from the state: nobody sees the new row yet."""
    item.execute(UNSENT)
    item.execute("insert into item values (1, 1, repeat('large ', 20000))")
    enable(start_daemon(ITEMS, consistency=STRICT))
    commit("update item set n = 5 where id = 1", level="on").returned()
    commit("update item set n = 6 where id = 1").returned()
    assert found(rest, "n:6") == 1
    answer = rest.get("/items/_search")
    assert answer["hits"]["hits"][0]["_source"]["big"].startswith("large large")


@pytest.mark.usefixtures("item")
def test_excluded_projections_are_not_waited_for(
    start_daemon: StartDaemon, commit: StartCommit, rest: Rest
) -> None:
    """Theirs come as their freshness says, while the others are found at once."""
    both: dict[str, Any] = {"items": ITEMS["items"], "later": ITEMS["items"]}
    enable(start_daemon(both, consistency={"strong": {"exclude": ["later"]}}))
    commit("insert into item values (1, 6)", "insert into item values (2, 6)").returned()
    assert (found(rest, "n:6"), found(rest, "n:6", "later")) == (2, 0)


@pytest.mark.usefixtures("item")
def test_nothing_is_excluded_from_what_is_durable(
    start_daemon: StartDaemon, commit: StartCommit, rest: Rest
) -> None:
    """A COMMIT at the level `on` waits until its documents are in an excluded index, too."""
    both: dict[str, Any] = {"items": ITEMS["items"], "later": ITEMS["items"]}
    enable(start_daemon(both, consistency={"strong": {"exclude": ["later"]}}))
    rest.put("/later-000001/_settings", {"index.blocks.write": True})
    durable = commit("insert into item values (1, 12)", level="on")
    durable.join(HANGS_SECONDS)
    assert durable.waits
    rest.put("/later-000001/_settings", {"index.blocks.write": False})
    durable.returned()


def test_the_daemon_does_not_wait_for_itself(
    database: Database, item: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Where every session waits by default: messages, publications and loads come through."""
    name = sql.Identifier(item.info.dbname)
    daemon = start_daemon(ITEMS, consistency=STRICT)
    enable(daemon)
    item.execute("create table other (id int primary key, n int)")
    item.execute(sql.SQL("alter database {} set synchronous_commit = remote_apply").format(name))
    assert daemon.terminate() == 0
    item.execute("insert into other values (1, 11)")
    more = start_daemon({**ITEMS, "others": {"from": "other", "fields": "*"}}, consistency=STRICT)
    more.wait_until("streaming")
    until(lambda: found(rest, "n:11", "others") == 1, PATIENCE_SECONDS, "it is loaded")
    with psycopg.connect(database.dsn, autocommit=True) as session:
        session.execute("insert into other values (2, 12)")
    assert found(rest, "n:12", "others") == 1


def test_a_migration_whose_commit_waits_is_let_go(
    daemon: RunningDaemon, item: psycopg.Connection, commit: StartCommit, rest: Rest
) -> None:
    """The daemon can't see the new columns before: its client is warned, and all goes on."""
    item.execute("insert into item values (1, 14)")
    migration = commit(
        "alter table item add note text default 'x'", "insert into item values (2, 14, 'hello')"
    )
    migration.returned()
    assert migration.warnings == ["canceling wait for synchronous replication due to user request"]
    until(lambda: found(rest, "note:hello") == 1, PATIENCE_SECONDS, "it is found")
    commit("insert into item values (3, 14, 'hello')").returned()
    assert found(rest, "note:hello") == 2
    assert daemon.events("commit_let_go")


@pytest.mark.parametrize("slot", ["kept", "lost"])
def test_a_start_is_not_kept_waiting_by_what_waits_for_it(
    daemon: RunningDaemon, item: psycopg.Connection, commit: StartCommit, rest: Rest, slot: str
) -> None:
    """A COMMIT that holds the table, or that a new slot waits for: it is let go with a warning."""
    item.execute("insert into item values (1, 15)")
    daemon.kill()
    if slot == "lost":
        until(lambda: drop_slots(item), PATIENCE_SECONDS, "the slot is free, and gone")
    waiting = commit("truncate item", "insert into item values (2, 16)")
    waiting.join(HANGS_SECONDS)
    assert waiting.waits
    daemon.start()
    waiting.returned()
    daemon.wait_until("streaming")
    daemon.catch_up()
    until(lambda: (found(rest, "n:15"), found(rest, "n:16")) == (0, 1), PATIENCE_SECONDS, "found")
    if slot == "lost":
        assert waiting.warnings
        assert daemon.events("commit_let_go")


def test_a_server_that_restarts_lets_waiting_commits_go(
    item: psycopg.Connection,
    start_daemon: StartDaemon,
    commit: StartCommit,
    rest: Rest,
    postgres_server: PostgresServer,
) -> None:
    """Their clients get an error or a warning; what they wrote is committed, and comes."""
    daemon = start_daemon(ITEMS, consistency=STRICT)
    enable(daemon)
    assert daemon.terminate() == 0
    waiting = commit("insert into item values (1, 13)")
    waiting.join(HANGS_SECONDS)
    assert waiting.waits
    item.close()
    postgres_server.stop()
    postgres_server.start()
    waiting.join(PATIENCE_SECONDS)
    assert not waiting.waits
    assert waiting.failure or waiting.warnings
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    until(lambda: found(rest, "n:13") == 1, PATIENCE_SECONDS, "it is found")


class Writer(threading.Thread):
    """Commits one row after the other, and looks each time whether a search finds it."""

    def __init__(self, dsn: str, search: Rest, kind: int) -> None:
        super().__init__(daemon=True)
        self._dsn = dsn
        self._search = search
        self._kind = kind
        self._ended = threading.Event()
        self.committed = 0
        self.missed: list[int] = []

    def run(self) -> None:
        """Go on until stopped."""
        while not self._ended.is_set():
            number = self._kind * 100_000 + self.committed
            one = Commit(self._dsn, f"insert into item values ({number}, {number})")
            one.returned()
            if not one.warnings and found(self._search, f"n:{number}") != 1:
                self.missed.append(number)
            self.committed += 1

    def stop(self) -> None:
        """And wait for its last commit."""
        self._ended.set()
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive()


def test_what_has_returned_is_found_while_the_daemon_is_killed(
    daemon: RunningDaemon, database: Database, rest: Rest
) -> None:
    """Again and again with -9, under commits of four clients: no search misses one."""
    writers = [Writer(database.dsn, rest, kind) for kind in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(4):
        before = sum(writer.committed for writer in writers)
        until(
            lambda: sum(writer.committed for writer in writers) > before + 8,  # noqa: B023 - at once
            PATIENCE_SECONDS,
            "commits return",
        )
        daemon.kill()
        daemon.start()
    for writer in writers:
        writer.stop()
    assert not any(writer.missed for writer in writers)
    assert sum(writer.committed for writer in writers) > 32
