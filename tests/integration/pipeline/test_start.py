"""What a start finds decides whether everything is loaded anew, beside what is being searched."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Self

import psycopg
import pytest

from tests.generators.oracle import assert_equal
from tests.generators.rest import Refused
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 3000
ITEMS: dict[str, Any] = {"items": {"from": "item", "fields": {"id": None, "n": None}}}
EXPECTED = {"items": "select id::text, jsonb_build_object('id', id, 'n', n) from item"}
OUR_SLOT = "from pg_replication_slots where database = current_database()"


class Searches(threading.Thread):
    """Searches the alias all the time: it must always find the documents of one generation."""

    def __init__(self, rest: Rest) -> None:
        super().__init__(daemon=True)
        self._rest = rest
        self._stop_asked = threading.Event()
        self.counts: list[int] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join(30)

    def run(self) -> None:
        """Count."""
        while not self._stop_asked.wait(0.005):
            try:
                self.counts.append(self._rest.get("/items/_count")["count"])
            except Refused as error:
                self.failures.append(str(error))


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A session on a database with one table of some rows."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute("create table item (id int primary key, n int)")
        opened.execute("insert into item select i, i from generate_series(1, %s) i", [ROWS])
        yield opened


@pytest.fixture
def daemon(connection: psycopg.Connection, start_daemon: StartDaemon) -> RunningDaemon:
    """A daemon that had loaded all rows, and was stopped."""
    assert connection.autocommit
    started = start_daemon(ITEMS)
    started.wait_until("streaming")
    started.catch_up()
    assert started.terminate() == 0
    return started


def start_again(
    daemon: RunningDaemon, connection: psycopg.Connection, database: Database, rest: Rest
) -> str:
    """Change a row, start it, wait until all is right; why it loaded everything."""
    connection.execute("update item set n = -n where id <= 10")
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS
    reasons = [event["reason"] for event in daemon.events("new_generation")]
    assert len(reasons) == 2, "loaded anew, and once"
    return str(reasons[-1])


def searched(rest: Rest) -> set[str]:
    """The indices behind the alias."""
    return set(rest.get("/_alias/items"))


def lose_checkpoint(connection: psycopg.Connection, daemon: RunningDaemon, rest: Rest) -> None:
    """Somebody deletes the daemon's own index."""
    assert connection.autocommit
    assert daemon.file.exists()
    rest.delete("/cdc-daemon-checkpoints")


def wait_until_free(connection: psycopg.Connection) -> None:
    """Whoever used our slot is gone: the server notices a moment later."""
    free = f"select 1 {OUR_SLOT} and not active"
    until(lambda: connection.execute(free).fetchone(), 10, "the slot is free")


def drop_slot(connection: psycopg.Connection, daemon: RunningDaemon, rest: Rest) -> None:
    """Somebody drops the replication slot."""
    assert not daemon.is_running
    assert rest.get("/items/_count")
    wait_until_free(connection)
    connection.execute(f"select pg_drop_replication_slot(slot_name) {OUR_SLOT}")


def advance_slot(connection: psycopg.Connection, daemon: RunningDaemon, rest: Rest) -> None:
    """Somebody moves the slot on, and the server forgets changes."""
    assert not daemon.is_running
    assert rest.get("/items/_count")
    connection.execute("update item set n = 0 where id > 2000")
    wait_until_free(connection)
    connection.execute(
        f"select pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) {OUR_SLOT}"
    )


def change_mapping(connection: psycopg.Connection, daemon: RunningDaemon, rest: Rest) -> None:
    """The mapping gets another type."""
    assert connection.autocommit
    assert rest.get("/items/_count")
    configuration = json.loads(daemon.file.read_text())
    configuration["projections"]["items"]["fields"]["n"] = {"type": "keyword"}
    daemon.file.write_text(json.dumps(configuration))


@pytest.mark.parametrize(
    ("accident", "reason"),
    [
        (lose_checkpoint, "there is no checkpoint"),
        (drop_slot, "the slot was dropped or lost"),
        (advance_slot, "changes between them would be missing"),
        (change_mapping, "its mapping or its table has changed"),
    ],
    ids=["checkpoint lost", "slot dropped", "slot ahead", "mapping changed"],
)
def test_loads_anew_beside_what_is_searched(
    connection: psycopg.Connection,
    database: Database,
    daemon: RunningDaemon,
    rest: Rest,
    accident: Any,
    reason: str,
) -> None:
    """It says why, and searches see the old generation until the new one is whole."""
    (before,) = searched(rest)
    accident(connection, daemon, rest)
    with Searches(rest) as searches:
        assert reason in start_again(daemon, connection, database, rest)
    assert not searches.failures
    assert set(searches.counts) == {ROWS}
    (after,) = searched(rest)
    assert after != before
    assert before not in rest.get("/items-*/_alias"), "the old generation is gone"


def test_deleted_index_is_loaded_anew(
    connection: psycopg.Connection, database: Database, daemon: RunningDaemon, rest: Rest
) -> None:
    """An index that somebody deleted comes back whole."""
    (index,) = searched(rest)
    rest.delete(f"/{index}")
    reason = start_again(daemon, connection, database, rest)
    assert index in reason
    assert "gone" in reason


def test_nothing_is_loaded_where_nothing_was_lost(
    connection: psycopg.Connection, database: Database, daemon: RunningDaemon, rest: Rest
) -> None:
    """A plain restart goes on with the same generation."""
    before = searched(rest)
    connection.execute("update item set n = -n")
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS
    assert searched(rest) == before
    assert len(daemon.events("new_generation")) == 1


def test_index_deleted_under_a_running_daemon(
    connection: psycopg.Connection, database: Database, daemon: RunningDaemon, rest: Rest
) -> None:
    """The daemon stops and says why, instead of making an index with guessed types."""
    daemon.start()
    daemon.wait_until("streaming")
    (index,) = searched(rest)
    rest.delete(f"/{index}")
    connection.execute("update item set n = 1 where id = 1")
    assert daemon.wait(20) == 4
    assert index in daemon.said()
    assert "restart" in daemon.said().lower()
    assert index not in rest.get("/items*/_alias")
    start_again(daemon, connection, database, rest)


def test_deferrable_primary_key_is_refused(
    connection: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """Rows could swap keys in one statement, which the stream shows as a row that left for good."""
    connection.execute("create table seat (id int primary key deferrable, guest text)")
    connection.execute("alter table seat replica identity full")
    daemon = start_daemon({"seats": {"from": "seat", "fields": "*"}})
    assert daemon.wait(20) == 3
    assert "is deferrable" in daemon.said()
    assert "without DEFERRABLE" in daemon.said()
    found = connection.execute("select count(*) from pg_publication").fetchone()
    assert found == (0,), "refused before the publication is touched"
