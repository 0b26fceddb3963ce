"""The SQL of the how-to pages about read tables, run as it stands."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.daemons import daemons
from tests.generators.read_tables import TableSearch

if TYPE_CHECKING:
    from tests.conftest import Database, StartPostgres

HOW_TO = Path(__file__).parents[3] / "docs/how-to"
SOURCE = """
create table chain (id int primary key, name text);
create table hotel (
  id int primary key, name text, city text, stars int, chain_id int references chain
);
create table room (id int primary key, hotel_id int references hotel on delete cascade);
insert into chain select i, 'chain ' || i from generate_series(1, 3) i;
insert into hotel select i, 'hotel ' || i, 'Lisbon', 3, 1 + i % 3 from generate_series(1, 4) i;
insert into room select i, 1 + i % 4 from generate_series(1, 8) i;
"""
MEANT = """
select h.id, h.name, h.city, h.stars,
       case when c.id is not null then jsonb_build_object('name', c.name) end,
       (select count(*) from room r where r.hotel_id = h.id)
from hotel h left join chain c on c.id = h.chain_id order by h.id
"""
CHANGES = (
    "update chain set name = 'c{n}' where id = {few}",
    "update hotel set chain_id = {few}, stars = {n} where id = {id}",
    "update hotel set chain_id = null where id = {id}",
    "insert into room values ({n}, {id}) on conflict (id) do update set hotel_id = {id}",
    "delete from room where id % 5 = {few}",
    "delete from hotel where id = {id}",
    "insert into hotel values ({id}, 'h{n}', 'Porto', {few}, {few}) on conflict do nothing",
)
SESSIONS = 4
TRANSACTIONS = 60


def blocks(page: str, heading: str) -> list[str]:
    """The SQL of a section, block by block."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    return re.findall(r"^```sql\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)


def test_the_table_of_triggers_is_what_the_tables_say(database: Database) -> None:
    """After any transactions at once, those that end in a deadlock among them."""
    (script,) = blocks("read-tables.md", "Without a daemon: a trigger in the same transaction")
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(SOURCE.encode())
        connection.execute(script.encode())
        sessions = [
            threading.Thread(target=_change, args=(database.dsn, Random(seed)))
            for seed in range(SESSIONS)
        ]
        for each in sessions:
            each.start()
        for each in sessions:
            each.join(60)
            assert not each.is_alive()
        shown = connection.execute("select * from sync.hotels order by id").fetchall()
        meant = connection.execute(MEANT.encode()).fetchall()
        assert shown == meant
        assert len(shown) > 0
        connection.execute("truncate hotel cascade")
        assert connection.execute("select from sync.hotels").fetchall() == []


def _change(dsn: str, rng: Random) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(TRANSACTIONS):
            try:
                with connection.transaction():
                    for _ in range(rng.randint(1, 3)):
                        change = rng.choice(CHANGES).format(
                            n=rng.randint(1, 40), few=rng.randint(1, 3), id=rng.randint(1, 6)
                        )
                        connection.execute(change.encode())
            except (psycopg.errors.DeadlockDetected, psycopg.errors.IntegrityError):
                continue


def test_a_role_that_only_writes_read_tables(
    private_postgres: StartPostgres, tmp_path: Path
) -> None:
    """The rights of the page are enough for the daemon, and for those who read."""
    server = private_postgres()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create database shop")
    shop = server.dsn_of("shop")
    as_role = psycopg.conninfo.make_conninfo
    roles, readers = blocks("least-privileges.md", "Read tables")
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute(SOURCE.encode())
        connection.execute("revoke create on schema public from public")
        connection.execute(roles.encode())
        connection.execute(readers.encode())
    sink = {"type": "postgres", "dsn": as_role(shop, user="cdc_sink", password="change-me")}  # noqa: S106 - the page's
    projections: dict[str, Any] = {"hotels": {"from": "public.hotel", "fields": "*"}}
    with daemons(shop, sink, tmp_path) as start:
        daemon = start(projections)
        daemon.wait_until("streaming")
        daemon.catch_up()
        reader = as_role(shop, user="shop_reader", password="change-me")  # noqa: S106 - the page's
        tables = TableSearch(reader)
        assert tables.rows("select count(*) from read_models.hotels") == [(4,)]
        with psycopg.connect(reader) as reading, pytest.raises(psycopg.Error, match="denied"):
            reading.execute("delete from read_models.hotels")
