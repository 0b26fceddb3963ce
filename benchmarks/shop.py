"""An e-commerce store: orders and their items, the read model of orders, and what is done to it."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from delay import RATES, Traffic
from limit import ACTION, Step

from cdc_daemon.config.projections import ProjectionConfig
from cdc_daemon.ports import TableRequest
from cdc_daemon.projection.compiler import compile_plan
from cdc_daemon.projection.joined.sql import documents_sql
from cdc_daemon.projection.showing import Showing
from connectors.postgres.catalog import describe
from connectors.postgres.session import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Barrier

    import psycopg

    from cdc_daemon.projection.joined.plan import Plan

USERS: Final = 20_000
ORDERS: Final = 200_000
ITEMS_EACH: Final = 3
BURST_TRANSACTIONS: Final = 100
BURST_SHARE: Final = 2
"""One order of so many changes in a burst."""
PROBED_ORDERS: Final = 300
"""The first ones, which only the prober changes."""
BURST_MARKS: Final = 2_000_000_000
"""Quantities from here on say which burst set them; below are those of probes, and from 1 to 9 all
others."""
STEP_ROWS: Final = 10_000
"""Between two looks at the clock while rows are discarded."""

CREATE: Final = """
create table warehouse (id int primary key, name text not null);
create table orders (
  id int primary key,
  user_id int not null,
  warehouse_id int not null references warehouse,
  status text not null,
  placed_at timestamptz not null
);
create table item (
  id int primary key,
  order_id int not null references orders,
  product text not null,
  quantity int not null,
  price numeric(10, 2) not null
);
create index on item (order_id);
insert into warehouse values (1, 'North');
"""
FILL_ORDERS: Final = """
insert into orders
select i, 1 + i %% %(users)s::int, 1, (array['placed', 'paid', 'sent'])[1 + i %% 3],
  timestamptz '2026-01-01 00:00:00+00' + i * interval '1 minute'
from generate_series(1, %(orders)s::int) i
"""
FILL_ITEMS: Final = """
insert into item
select i, 1 + (i - 1) / %(each)s::int, 'Product ' || i %% 997 || ' of the store, in blue',
  1 + i %% 9, (1 + i %% 20000) / 100.0
from generate_series(1, %(orders)s::int * %(each)s::int) i
"""
BURST: Final = """
update item set quantity = %(mark)s
where order_id between %(first)s and %(last)s and id %% 3 <> 0
"""
"""Two of the three items of each order."""

_OF_ORDER: Final = {"order_id": "id"}
READ_MODEL: Final[dict[str, Any]] = {
    "from": "public.orders",
    "fields": ["id", "user_id", "status", "placed_at"],
    "embed": {
        "items": {
            "many": "public.item",
            "on": _OF_ORDER,
            "fields": ["id", "product", "quantity", "price"],
        },
        "count": {"count": "public.item", "on": _OF_ORDER},
        "sum": {"sum": "public.item", "value": "price", "on": _OF_ORDER},
    },
}
"""What peers were measured with."""
WITH_WAREHOUSE: Final[dict[str, Any]] = {
    **READ_MODEL,
    "embed": {
        **READ_MODEL["embed"],
        "warehouse": {
            "one": "public.warehouse",
            "on": {"id": "warehouse_id"},
            "fields": {"name": {"type": "keyword"}},
        },
    },
}
"""The same, and all documents show one row."""


class Size(NamedTuple):
    """How large the store is."""

    users: int
    orders: int

    @property
    def items(self) -> int:
        """Rows of the children."""
        return self.orders * ITEMS_EACH

    @property
    def burst(self) -> int:
        """Documents that a burst changes."""
        return self.orders // BURST_SHARE


class Burst(NamedTuple):
    """What one burst writes."""

    dsn: str
    orders: int
    """So many, the first ones."""
    mark: int


def create(connection: psycopg.Connection, size: Size) -> None:
    """Make the tables and their rows."""
    connection.execute(CREATE)
    numbers = {"users": size.users, "orders": size.orders, "each": ITEMS_EACH}
    connection.execute(FILL_ORDERS, numbers)
    connection.execute(FILL_ITEMS, numbers)
    connection.execute("vacuum analyze")
    connection.execute("checkpoint")


def source_bytes(connection: psycopg.Connection) -> int:
    """What orders and items take in the source, without their indexes."""
    row = connection.execute("select pg_table_size('orders') + pg_table_size('item')").fetchone()
    return int(row[0]) if row else 0


def plan_of(dsn: str) -> Plan:
    """The read model, compiled."""
    config = ProjectionConfig.model_validate(READ_MODEL)
    with connect(dsn, name="benchmark") as connection:
        relations = describe(connection, [TableRequest(name) for name in config.tables])
    tables = dict(zip(config.tables, relations, strict=True))
    return compile_plan("orders", config, tables, lambda *_: "", Showing())


def documents(dsn: str, plan: Plan) -> Iterator[bytes]:
    """Action and document of every order, as the SQL of the read model gives them."""
    query = f"select id, document::text from ({documents_sql(plan, None)}) d order by id::int"
    with connect(dsn, name="benchmark") as connection, connection.transaction():
        connection.execute("set local jit = off")
        with connection.cursor(name="documents") as cursor:
            for document_id, document in cursor.execute(query.encode()):
                yield ACTION % (orjson.dumps(document_id), 1, orjson.dumps(orjson.loads(document)))


def discard(dsn: str, barrier: Barrier, answers: Any) -> None:
    """Read both tables by COPY, and drop the rows."""
    with connect(dsn, name="benchmark") as connection:
        barrier.wait()
        steps = [Step(time.monotonic(), 0)]
        done = 0
        for table in ("orders", "item"):
            with connection.cursor().copy(f"copy {table} to stdout".encode()) as copy:
                for _ in copy:
                    done += 1
                    if done % STEP_ROWS == 0:
                        steps.append(Step(time.monotonic(), done))
        steps.append(Step(time.monotonic(), done))
    answers.put(("drain", steps))


def write_burst(burst: Burst, barrier: Barrier, answers: Any) -> None:
    """Commit a burst beside another process."""
    with connect(burst.dsn, name="benchmark") as connection:
        barrier.wait()
        answers.put(("drain", list(_steps(connection, burst))))


def commit_burst(burst: Burst) -> int:
    """Commit a burst; returns how many changes it was."""
    with connect(burst.dsn, name="benchmark") as connection:
        return list(_steps(connection, burst))[-1].done


def _steps(connection: psycopg.Connection, burst: Burst) -> Iterator[Step]:
    """Two items of each order, all in so many transactions."""
    each = burst.orders // BURST_TRANSACTIONS
    done = 0
    yield Step(time.monotonic(), done)
    for first in range(1, burst.orders + 1, each):
        numbers = {"mark": burst.mark, "first": first, "last": first + each - 1}
        done += connection.execute(BURST, numbers).rowcount
        yield Step(time.monotonic(), done)


def traffic(size: Size, name: str, aim: str) -> Traffic:
    """Updates of items, each a transaction; and those of the prober."""
    return Traffic(name, partial(change_item, size.items), probe_item, dict.fromkeys(RATES, aim))


def change_item(items: int, connection: psycopg.Connection, number: int) -> None:
    """Another quantity for one item, not of the probed orders."""
    row = random.randint(PROBED_ORDERS * ITEMS_EACH + 1, items)
    connection.execute("update item set quantity = %s where id = %s", [1 + number % 9, row])


def probe_item(connection: psycopg.Connection, number: int) -> bytes:
    """A quantity that no item has had, for one of the probed orders."""
    mark = 10 + number % (BURST_MARKS - 10)
    row = random.randint(1, PROBED_ORDERS * ITEMS_EACH)
    connection.execute("update item set quantity = %s where id = %s", [mark, row])
    return b'{"query":{"term":{"items.quantity":%d}}}' % mark
