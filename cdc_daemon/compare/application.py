"""How applications write, by technique: each one's transactions, and what it does beside them.

An application is used by one thread and has connections of its own.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final, LiteralString, Self

import psycopg
from psycopg.rows import dict_row

from cdc_daemon.compare.journal import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

MAKE: Final[LiteralString] = """
insert into booking (id, guest, nights, price, note)
values (%(key)s, %(guest)s, %(nights)s, %(price)s, repeat('n', 60)) returning *
"""
CHANGE: Final[LiteralString] = """
update booking set nights = %(nights)s, price = %(price)s, revision = revision + 1,
  updated_at = now()
 where id = %(key)s returning *
"""
CANCEL: Final[LiteralString] = "delete from booking where id = %(key)s returning *"


class Application:
    """Writes bookings, and knows of no read model."""

    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, row_factory=dict_row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def make(self, key: int, open_seconds: float = 0.0) -> Change:
        """A row that isn't there yet; its transaction stays open for so long before COMMIT."""
        row = self._write(MAKE, key)
        time.sleep(open_seconds)
        return self._commit(row)

    def change(self, key: int) -> Change:
        """One more revision of a row."""
        return self._commit(self._write(CHANGE, key))

    def cancel(self, key: int) -> Change:
        """The row is deleted."""
        return self._commit({**self._write(CANCEL, key), "revision": None})

    def give_up(self, key: int) -> None:
        """A new row that is rolled back: nobody may ever see it."""
        self._write(MAKE, key)
        self.connection.rollback()

    def written(self, row: Mapping[str, Any], *, is_deleted: bool) -> None:
        """Called in the transaction, after each row: what else belongs to it."""

    def commit(self) -> float:
        """How a transaction ends; when its COMMIT had returned."""
        self.connection.commit()
        return time.monotonic()

    def _write(self, statement: LiteralString, key: int) -> dict[str, Any]:
        nights, price = random.randint(1, 14), random.randint(50, 900)  # noqa: S311 - no secrets
        values = {"key": key, "guest": f"Guest {key}", "nights": nights, "price": price}
        with self.connection.cursor() as cursor:
            row: dict[str, Any] = cursor.execute(statement, values).fetchone() or {}
        self.written(row, is_deleted=statement is CANCEL)
        return row

    def _commit(self, row: Mapping[str, Any]) -> Change:
        return Change(row["id"], row["revision"], self.commit())
