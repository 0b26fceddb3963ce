"""Sessions that write a store of hotels at random, for as long as a test goes on beside them."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Self

import psycopg

if TYPE_CHECKING:
    from types import TracebackType

STATEMENTS = (
    "update room set price = price + 1 where id % 97 = {n} % 97",
    "update room set hotel_id = 1 + {n} % 300 where id = 1 + {m} % 2000",
    "update room set hotel_id = 1 + {n} % 300, id = id + 10000 where id = 1 + {m} % 2000",
    "insert into room select 20000 + {n}, {m} % 300, 'new', 5 on conflict do nothing",
    "delete from room where id % 211 = {n} % 211",
    "update hotel set name = 'named {n}' where id = 1 + {m} % 300",
    "update hotel set chain_id = {n} % 6 where id % 31 = {m} % 31 and id < 1000",
    "update hotel set notes = repeat('n{n} ', 2000) where id = 1 + {m} % 300",
    "update hotel set id = 1000 + {n} % 300 where id = 1 + {m} % 300",
    "insert into hotel select 1 + {n} % 300, 'again', {m} % 6, 'short' on conflict do nothing",
    "delete from hotel where id = 1 + {n} % 300",
    "update chain set name = 'chain {n}' where id = {m} % 6",
    "delete from hotel_tag where hotel_id = {n} % 300",
    "insert into hotel_tag select 1 + {n} % 300, {m} % 20 on conflict do nothing",
    "update tag set name = 'tag {n}' where id = {m} % 20",
)
TRUNCATES = ("truncate hotel_tag", "truncate room")


class HotelWriters:
    """Two sessions, until the block ends; `truncating`: now and then a table is emptied."""

    def __init__(self, dsn: str, seed: int, *, truncating: bool = False) -> None:
        self._dsn = dsn
        self._truncating = truncating
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(seed + n),)) for n in range(2)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if error is None and self._failures:
            raise self._failures[0]

    def _write(self, rng: random.Random) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                while not self._stop.wait(rng.uniform(0, 0.05)):
                    self._transact(connection, rng)
        except BaseException as error:  # noqa: BLE001 - raised by who waits
            self._failures.append(error)

    def _transact(
        self, connection: psycopg.Connection[tuple[object, ...]], rng: random.Random
    ) -> None:
        statements = rng.choices(STATEMENTS, k=rng.choice((1, 1, 2, 5)))
        if self._truncating and rng.random() < 0.01:
            statements.append(rng.choice(TRUNCATES))
        try:
            with connection.transaction():
                for statement in statements:
                    text = statement.format(n=rng.randrange(10**6), m=rng.randrange(10**6))
                    connection.execute(text.encode())
        except (psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation):
            pass  # of two sessions one gives way
