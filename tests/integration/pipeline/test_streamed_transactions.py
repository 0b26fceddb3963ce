"""Large transactions are folded while they are open, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.conftest import OF_THE_MACHINE
from tests.generators.oracle import assert_equal
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = 20_000
EMPTY = 100_000
SAVEPOINTS = 10_000
MEMORY = {"transaction": "1MB", "queue": "4MB", "batch": "1MB"}
PROJECTIONS = {"items": {"from": "item", "fields": "*", "freshness": "100ms"}}
EXPECTED = {"items": "select id::text, to_jsonb(item) from item"}
INSERT = "insert into item select i, 0, repeat('x', 100) from generate_series(%s::int, %s::int) i"
STREAMED = "cdc_transactions_streamed"
HELD = "cdc_transactions_held_bytes"
SPILLED = "cdc_transaction_spilled_bytes_total"
TEXT_BYTES = 2 * ROWS * 100
"""Of two such transactions, which is less than what is held of them: some 140 a row on disk, some
340 in memory; the server may keep back 64 kB."""
STATE_EXIT_CODE = 6
MOST_GROWTH_BYTES = 20_000_000


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A table, in a database of which transactions beyond 64 kB are streamed before they end."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int, t text)")
        connection.execute(
            f"alter database {database.name} set logical_decoding_work_mem = '64kB'".encode()
        )
        yield connection


def test_it_is_folded_and_spilled_before_its_commit(
    database: Database, connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """Two at once, beside what others commit; one is rolled back, and nothing is left of it."""
    daemon = start_daemon(PROJECTIONS, memory=MEMORY)
    daemon.wait_until("streaming")
    with psycopg.connect(database.dsn) as good, psycopg.connect(database.dsn) as bad:
        for first in range(0, ROWS, 5000):
            good.execute(INSERT, [first, first + 4999])
            bad.execute(INSERT, [ROWS + first, ROWS + first + 4999])
        connection.execute(INSERT, [-10, -1])
        daemon.catch_up()
        until(lambda: daemon.total(STREAMED) == 2, 20, "both come in parts")
        assert daemon.total(SPILLED) > 2_000_000
        # It is told ten times a second, so it may lag behind the position.
        until(lambda: daemon.total(HELD) > TEXT_BYTES, 20, "both are held")
        assert daemon.total("cdc_documents_written_total") == 10
        assert assert_equal(database.dsn, rest, EXPECTED) == 10
        bad.rollback()
        good.commit()
    daemon.catch_up()
    assert daemon.total("cdc_documents_written_total") == ROWS + 10
    assert assert_equal(database.dsn, rest, EXPECTED) == ROWS + 10
    until(lambda: daemon.total(STREAMED) == daemon.total(HELD) == 0, 20, "nothing is held")
    assert list(daemon.spill.iterdir()) == []


def test_killed_while_it_is_open(
    database: Database, connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """What was confirmed lies beyond its beginning; all of it comes again all the same."""
    daemon = start_daemon(PROJECTIONS, memory=MEMORY)
    daemon.wait_until("streaming")
    with psycopg.connect(database.dsn) as writer:
        for number in range(3):
            writer.execute(INSERT, [number * ROWS, (number + 1) * ROWS - 1])
            connection.execute(INSERT, [-number - 1, -number - 1])
            daemon.catch_up()  # the others' commits are stored, and confirmed
            assert daemon.total(STREAMED) == 1
            writer.execute(INSERT, [-1000 * (number + 2), -1000 * (number + 2) + 900])
            daemon.kill()
            daemon.start()
            daemon.wait_until("streaming")
        writer.commit()
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 3 * ROWS + 3 * 901 + 3


def test_killed_between_its_commit_and_its_last_document(
    database: Database, connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """At any moment; what was written of it is written again."""
    daemon = start_daemon(PROJECTIONS, memory=MEMORY)
    daemon.wait_until("streaming")
    rng = random.Random(7)
    for number in range(4):
        with connection.transaction():
            connection.execute(INSERT, [number * ROWS, (number + 1) * ROWS - 1])
            connection.execute("update item set n = n + 1 where id % 3 = 0")
            until(lambda: daemon.total(STREAMED) == 1, 20, "it comes in parts")
        time.sleep(rng.random() / 3)
        daemon.kill()
        daemon.start()
        daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 4 * ROWS


def test_ten_thousand_savepoints_of_which_every_third_is_rolled_back(
    database: Database, connection: psycopg.Connection, start_daemon: StartDaemon, rest: Rest
) -> None:
    """In little memory, and at the end as SQL has it."""
    daemon = start_daemon(PROJECTIONS, memory=MEMORY)
    daemon.wait_until("streaming")
    before = daemon.anonymous_bytes()
    connection.execute(
        f"""
        do $$ begin
          for i in 1..{SAVEPOINTS} loop
            begin
              insert into item values (i, i, repeat('x', 200));
              update item set n = n + 1 where id = i / 2;
              if i % 3 = 0 then raise exception 'no'; end if;
            exception when others then null;
            end;
          end loop;
        end $$""".encode()
    )
    daemon.catch_up(120)
    assert daemon.total(SPILLED) > 1_000_000
    assert daemon.anonymous_bytes() - before < MOST_GROWTH_BYTES
    assert assert_equal(database.dsn, rest, EXPECTED) == SAVEPOINTS - SAVEPOINTS // 3


def test_a_hundred_thousand_empty_commits(
    database: Database, connection: psycopg.Connection, start_daemon: StartDaemon
) -> None:
    """Positions go on and are confirmed; nothing is written, and nothing is held."""
    daemon = start_daemon(PROJECTIONS, memory=MEMORY)
    daemon.wait_until("streaming")
    daemon.catch_up()
    memory, before = daemon.anonymous_bytes(), daemon.position("received")
    connection.execute(
        f"do $$ begin for i in 1..{EMPTY} loop perform pg_current_xact_id(); commit;"
        " end loop; end $$".encode()
    )
    daemon.catch_up(120)
    assert daemon.position("received") - before > EMPTY * 30
    assert daemon.total("cdc_documents_written_total") == 0
    assert daemon.anonymous_bytes() - memory < MOST_GROWTH_BYTES
    slot = (
        "select confirmed_flush_lsn - '0/0'::pg_lsn from pg_replication_slots where database = %s"
    )

    def is_confirmed() -> bool:
        [(confirmed,)] = connection.execute(slot, [database.name])
        return bool(confirmed - before > EMPTY * 30)

    until(is_confirmed, 20, "the slot knows")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip(f"{OF_THE_MACHINE}only root may mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_a_stop_that_costs_nothing(
    database: Database,
    connection: psycopg.Connection,
    start_daemon: StartDaemon,
    rest: Rest,
    small_disk: Path,
) -> None:
    """The daemon says where room is lacking; with room it goes on, and all is there."""
    daemon = start_daemon(PROJECTIONS, memory=MEMORY, state={"path": str(small_disk)})
    daemon.wait_until("streaming")
    with connection.transaction():
        connection.execute(INSERT, [1, 2 * ROWS])
        assert daemon.wait(60) == STATE_EXIT_CODE
    assert f"can't be folded in {small_disk}/spill" in daemon.said()
    assert "Make room there" in daemon.said()
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 2 * ROWS


def test_the_disk_that_transactions_take_has_a_bound(
    database: Database,
    connection: psycopg.Connection,
    start_daemon: StartDaemon,
    rest: Rest,
    tmp_path: Path,
) -> None:
    """Beyond `state.max_spill` the daemon stops, with nothing lost; with more it goes on."""
    state = {"path": str(tmp_path / "data"), "max_spill": "2MB"}
    daemon = start_daemon(PROJECTIONS, memory=MEMORY, state=state)
    daemon.wait_until("streaming")
    with connection.transaction():
        connection.execute(INSERT, [1, 2 * ROWS])
        assert daemon.wait(60) == STATE_EXIT_CODE
    assert "Raise state.max_spill" in daemon.said()
    configuration = json.loads(daemon.file.read_text())
    configuration["state"]["max_spill"] = "50MB"
    daemon.file.write_text(json.dumps(configuration))
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert assert_equal(database.dsn, rest, EXPECTED) == 2 * ROWS
