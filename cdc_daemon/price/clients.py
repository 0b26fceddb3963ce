"""How a client of each strategy commits, and what it does before it searches.

A client is used by one thread and has connections of its own, as a web application's request has.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import NamedTuple, Self

import psycopg
from psycopg import sql

from cdc_daemon.outside.search import Search
from cdc_daemon.price.history import NOTHING


@dataclass(frozen=True, slots=True)
class Places:
    """Where clients write and read."""

    dsn: str
    search_url: str
    daemon_urls: tuple[str, ...]
    read_model: str
    """Its name, and that of its table: rows of an `id` and a `version`."""


class Committed(NamedTuple):
    """A COMMIT that returned: of which version, and when."""

    version: int
    began: float
    ended: float


class Answer(NamedTuple):
    """What a search found, and when it was sent and answered."""

    version: int
    began: float
    ended: float
    waited: float = 0.0
    """Seconds from when the client wanted to know until it was sent."""
    promised: float = -math.inf
    """Until when commits had to be found, by what the client was told before it was sent."""


class EventualClient:
    """Commits, searches, and waits for nothing."""

    def __init__(self, places: Places) -> None:
        self.places = places
        table = sql.Identifier(places.read_model)
        update = "update {} set version = version + 1 where id = %s returning version"
        self._update = sql.SQL(update).format(table)
        self._select = sql.SQL("select version from {} where id = %s").format(table)
        self.connection = psycopg.connect(places.dsn)
        self._search = Search(places.search_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._search.close()
        self.connection.close()

    def write(self, key: int) -> Committed:
        """One more version of a row; returns when its COMMIT does."""
        self.begin()
        row = self.connection.execute(self._update, [key]).fetchone()
        began = time.monotonic()
        self.commit()
        return Committed(row[0] if row else NOTHING, began, time.monotonic())

    def read(self, key: int) -> Answer:
        """What a search for the row finds now. Raises StopError if OpenSearch doesn't answer."""
        return self.searched(key)

    def begin(self) -> None:
        """What a transaction of this strategy begins with."""

    def commit(self) -> None:
        """How it ends."""
        self.connection.commit()

    def searched(self, key: int) -> Answer:
        """What OpenSearch finds."""
        began = time.monotonic()
        found = self._search.first(self.places.read_model, {"term": {"id": key}}, ["version"])
        return Answer(found["version"] if found else NOTHING, began, time.monotonic())

    def selected(self, key: int) -> Answer:
        """What the source itself shows."""
        began = time.monotonic()
        row = self.connection.execute(self._select, [key]).fetchone()
        self.connection.commit()
        return Answer(row[0] if row else NOTHING, began, time.monotonic())


class SourceClient(EventualClient):
    """Reads what it wrote to: level 1 and 2 of the separation, one store for both sides."""

    def read(self, key: int) -> Answer:
        """What the source shows: nothing can be stale."""
        return self.selected(key)


class StrongClient(EventualClient):
    """Its COMMIT returns when the change can be found; it searches without waiting."""

    def begin(self) -> None:
        """For this transaction only; those of others are none the slower."""
        self.connection.execute("set local synchronous_commit = remote_apply")
