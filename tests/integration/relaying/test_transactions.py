"""Transactions of every kind: whole and once they are committed, in topics and in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import psycopg
import pytest

from connectors.relay.log import read_place
from tests.conftest import OF_THE_MACHINE
from tests.generators.daemons import daemons
from tests.generators.json_meaning import parse
from tests.generators.read_tables import TableSearch
from tests.integration.relaying.conftest import CREATE, StartRelay
from tests.integration.relaying.test_exactly_once import assert_log_is_whole

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.conftest import Database, StartPostgres
    from tests.integration.relaying.conftest import Relayed

TELLS_ORIGINS = 160000
ROWS = 3000
"""Of some hundred bytes each: the server would stream transactions of that size in parts."""
SMALL_MEMORY: dict[str, str | int] = {
    "logical_decoding_work_mem": "64kB",
    "max_prepared_transactions": 5,
}
INSERT = "insert into hotel select i, repeat('x', 200), 0 from generate_series({}, {}) i"
SAVEPOINTS = """
do $$ begin
  for i in 1..300 loop
    begin
      insert into hotel values (10000 + i, repeat('s', 300), i);
      update hotel set stars = i where id = i;
      if i % 3 = 0 then raise exception 'no'; end if;
    exception when raise_exception then null;
    end;
  end loop;
end $$
"""
MESSAGES = """
select pg_logical_emit_message(transactional, 'app', repeat('m', 100000))
from (values (true), (false)) as x (transactional)
"""
MODELS = {"hotels": {"from": "public.hotel", "fields": ["id", "name", "stars"]}}
MEANT = """
select id::text, jsonb_build_object('id', id, 'name', name, 'stars', stars)::text, stars from hotel
"""


@pytest.fixture
def server(private_postgres: StartPostgres) -> embedded.PostgresServer:
    """Takes prepared transactions, and calls those large that take more than 64 kB."""
    made = private_postgres(settings=SMALL_MEMORY)
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        connection.execute(CREATE)
    return made


def write_everything(dsn: str) -> None:
    """What begins first ends last; half of it never happens."""
    with (
        psycopg.connect(dsn, autocommit=True) as one,
        psycopg.connect(dsn) as large,
        psycopg.connect(dsn) as gone,
    ):
        large.execute(INSERT.format(1, ROWS).encode())
        gone.execute(INSERT.format(20001, 20000 + ROWS).encode())
        one.execute(MESSAGES)
        one.execute("insert into hotel values (50001, 'small', 1)")
        prepare(one, "kept", INSERT.format(30001, 30000 + ROWS))
        prepare(one, "dropped", INSERT.format(40001, 40000 + ROWS))
        large.execute(MESSAGES)
        gone.rollback()
        large.commit()
        one.execute(SAVEPOINTS)
        one.execute("rollback prepared 'dropped'")
        one.execute("update hotel set stars = 7 where id % 100 = 0")
        one.execute("commit prepared 'kept'")
        with one.transaction():
            one.execute("truncate hotel")
            one.execute(INSERT.format(1, ROWS).encode())
            one.execute("update hotel set id = id + 100000 where id % 10 = 0")
            one.execute("delete from hotel where id % 10 = 1")


def prepare(connection: psycopg.Connection[Any], name: str, statement: str) -> None:
    """It ends later, by another session."""
    connection.execute(f"begin; {statement}; prepare transaction '{name}'".encode())


def test_all_kinds_come_as_they_are_committed(
    server: embedded.PostgresServer, database: Database, kafka: embedded.KafkaServer, tmp_path: Path
) -> None:
    """Large ones, several at once, savepoints, prepared ones; what is rolled back is nowhere."""
    cluster = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
    tables = {"type": "postgres", "dsn": database.dsn}
    with (
        daemons(server.dsn, cluster, tmp_path) as make_relay,
        daemons(server.dsn, tables, tmp_path) as make_reader,
    ):
        relay = StartRelay(make_relay, tmp_path.name, kafka)(log=True, folder="relay")
        relay.daemon.wait_until()
        source = {**cluster, "type": "relay", "log": relay.log}
        reader = make_reader(MODELS, source=source, folder="reader")
        reader.wait_until()
        write_everything(server.dsn)
        relay.daemon.catch_up(120)
        reader.catch_up(120)
        with psycopg.connect(server.dsn) as connection:
            meant = connection.execute(MEANT).fetchall()
        shown = TableSearch(database.dsn).hits("hotels")
        assert {hit["_id"]: hit["_source"] for hit in shown} == {
            key: parse(document) for key, document, _ in meant
        }
    assert {str(row["id"]): row["stars"] for row in folded(relay).values()} == {
        key: stars for key, _, stars in meant
    }
    assert_log_is_whole(relay)
    assert_counted(relay)


def folded(relay: Relayed) -> dict[int, dict[str, Any]]:
    """What the messages come to, truncates included."""
    rows: dict[int, dict[str, Any]] = {}
    for event in relay.events("public.hotel"):
        if event["op"] == "t":
            rows.clear()
        elif event["op"] == "d":
            del rows[event["before"]["id"]]
        else:
            rows[event["after"]["id"]] = event["after"]
    return rows


def assert_counted(relay: Relayed) -> None:
    """Each message of a transaction has its number, and the end says how many there were."""
    ends = [orjson.loads(one.value or b"") for one in relay.records("transaction")]
    said = {one["id"]: one["event_count"] for one in ends if one["status"] == "END"}
    numbers: dict[str, list[int]] = {}
    for event in relay.events("public.hotel"):
        number = event["transaction"]["id"].partition(":")[0]
        numbers.setdefault(number, []).append(event["transaction"]["total_order"])
    assert {
        number: list(range(1, len(orders) + 1)) for number, orders in numbers.items()
    } == numbers
    assert {one.partition(":")[0]: count for one, count in said.items()} == {
        number: len(orders) for number, orders in numbers.items()
    }


def test_what_came_from_elsewhere_is_left_out_where_asked_for(
    start_relay: StartRelay, hotels: psycopg.Connection, database: Database
) -> None:
    """`source.origin: none`: neither the topics nor the log have it."""
    if hotels.info.server_version < TELLS_ORIGINS:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL tells origins apart from 16 on")
    relay = start_relay(log=True, source={"origin": "none"})
    relay.daemon.wait_until()
    with psycopg.connect(database.dsn, autocommit=True) as subscriber:
        subscriber.execute("select pg_replication_origin_create(%s)", [database.name])
        subscriber.execute("select pg_replication_origin_session_setup(%s)", [database.name])
        subscriber.execute("insert into hotel values (1, 'from elsewhere')")
        hotels.execute("insert into hotel values (2, 'ours')")
        subscriber.execute("select pg_replication_origin_session_reset()")
        subscriber.execute("select pg_replication_origin_drop(%s)", [database.name])
    relay.daemon.catch_up()
    assert [event["after"]["id"] for event in relay.events("public.hotel")] == [2]
    places = [read_place(one.value or b"")[1] for one in relay.records("log")]
    assert [place.kind for place in places].count("commit") == 1
