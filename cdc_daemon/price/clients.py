"""How a client of each strategy commits, and what it does before it searches.

A client is used by one thread and has connections of its own, as a web application's request has.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import psycopg
from psycopg import sql

from cdc_daemon.client import ReadModels, Session, commit, commit_strong
from cdc_daemon.errors import StopError
from cdc_daemon.outside.search import Search
from cdc_daemon.price.history import NOTHING

if TYPE_CHECKING:
    from cdc_daemon.client import Outcome
    from cdc_daemon.client.searching import Asked

STRONG_SECONDS: Final = 60.0
"""A COMMIT that nobody has confirmed by then fails: longer than servers need to come back."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where clients write and read."""

    dsn: str
    search_url: str
    daemon_urls: tuple[str, ...]
    read_model: str
    """Its documents have an `id` and a `version`."""
    table: str
    """So have its rows, and they make those documents."""


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
        table = sql.Identifier(places.table)
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
        row = self.connection.execute(self._update, [key]).fetchone()
        began = time.monotonic()
        self.commit()
        return Committed(row[0] if row else NOTHING, began, time.monotonic())

    def read(self, key: int) -> Answer:
        """What a search for the row finds now. Raises StopError if OpenSearch doesn't answer."""
        return self.searched(key)

    def commit(self) -> None:
        """How a transaction of this strategy ends."""
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


class CausalClient(EventualClient):
    """Waits before a search until all that it has written, and has seen, can be found."""

    def __init__(self, places: Places) -> None:
        super().__init__(places)
        self.session = Session()
        self._models = ReadModels(places.daemon_urls)

    def __exit__(self, *_: object) -> None:
        self._models.close()
        super().__exit__()

    def commit(self) -> None:
        """The token comes with the answer to COMMIT."""
        self.session.note(commit(self.connection))

    def read(self, key: int) -> Answer:
        """What a search finds that knows all of this client's writes."""
        outcome = self._models.wait(projection=self.places.read_model, **self.wish(key))
        answer = self.searched(key) if outcome.reached else self.late(key, outcome)
        return answer._replace(waited=outcome.waited_seconds)

    def wish(self, key: int) -> Asked:  # noqa: ARG002 - for those that wait for one document
        """What is waited for: all documents of the read model."""
        return {"session": self.session}

    def late(self, key: int, outcome: Outcome) -> Answer:  # noqa: ARG002 - for those with a fallback
        """Nothing is found in time: no answer."""
        raise StopError(f"{self.places.read_model} was waited for in vain: {outcome.why}")


class CausalByIdClient(CausalClient):
    """Waits for the document that it searches for, whatever becomes of the others."""

    def wish(self, key: int) -> Asked:
        """One document."""
        return {"session": self.session, "id": str(key)}


class StrongClient(EventualClient):
    """Its COMMIT returns when the change can be found; it searches without waiting."""

    def commit(self) -> None:
        """Only this one waits; those of others are none the slower."""
        commit_strong(self.connection, STRONG_SECONDS)
