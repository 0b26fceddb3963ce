"""A column that comes and is filled after a relay has looked, and before it has read all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.integration.relaying.conftest import StartRelay

ROWS = 20
MANY = 2_000
SOME = 500
PATIENCE_SECONDS = 30


def test_existing_rows_have_it(
    start_relay: StartRelay, hotels: psycopg.Connection, database: Database
) -> None:
    """No message of a change will say it: those of the rows must."""
    hotels.execute("insert into hotel select n, 'old' from generate_series(1, %s) n", [ROWS])
    with psycopg.connect(database.dsn) as open_one:
        open_one.execute("select pg_current_xact_id()")  # whom a new slot waits for
        relayed = start_relay()
        daemon = relayed.daemon
        until(lambda: bool(daemon.events("creating_slot")), PATIENCE_SECONDS, "a slot is made")
        open_one.execute("alter table hotel add x text")
        open_one.execute("update hotel set x = 'new'")
        open_one.commit()
    daemon.wait_until("streaming")
    until(lambda: len(relayed.rows("public.hotel")) == ROWS, PATIENCE_SECONDS, "rows are relayed")
    assert {row.get("x") for row in relayed.rows("public.hotel").values()} == {"new"}


def test_rows_that_are_read_later_have_it(
    start_relay: StartRelay, hotels: psycopg.Connection, database: Database
) -> None:
    """They come behind the changes that have filled it, and must not say less."""
    hotels.execute(
        "insert into hotel select n, 'old', 0, 1, repeat('x', 500) from generate_series(1, %s) n",
        [MANY],
    )
    relayed = start_relay(backfill={"chunk": "20kB", "rows_per_second": MANY // 5})
    until(lambda: relayed.written_so_far("public.hotel") > SOME, 60, "some rows are read")
    with psycopg.connect(database.dsn) as connection:
        connection.execute("alter table hotel add x text")
        connection.execute("update hotel set x = 'new'")
    until(lambda: not relayed.daemon.status()["loading"], 60, "all rows are read")
    relayed.daemon.catch_up()
    found = [row.get("x") for row in relayed.rows("public.hotel").values()]
    assert found == ["new"] * MANY
