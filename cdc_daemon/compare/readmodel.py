"""The read model as an application sees it: by searches in OpenSearch, or by SELECT."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString, Protocol, Self

import psycopg
from psycopg.sql import SQL

from cdc_daemon.compare.store import BACKLOG
from cdc_daemon.outside.search import Search

if TYPE_CHECKING:
    from collections.abc import Collection


class ReadModel(Protocol):
    """What is asked of it; used by one thread, within its context."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def found(self, keys: Collection[int]) -> set[int]:
        """Which of those rows can be found now."""

    def backlog(self) -> int:
        """How many rows of the backlog can be found as they are now."""

    def revisions(self) -> dict[int, int]:
        """The revision of everything that can be found, by key."""


class Searched:
    """Documents, found by searches."""

    def __init__(self, url: str, index: str) -> None:
        self._search = Search(url)
        self._index = index

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._search.close()

    def found(self, keys: Collection[int]) -> set[int]:
        """One search for all of them."""
        query = {"terms": {"id": [*keys]}}
        return {hit["id"] for hit in self._search.some(self._index, query, ["id"], len(keys))}

    def backlog(self) -> int:
        """A count."""
        return self._search.count(self._index, {"term": {"batch": BACKLOG}})

    def revisions(self) -> dict[int, int]:
        """All documents, as of one moment."""
        found = self._search.documents(self._index)
        return {document["id"]: document["revision"] for _, document in found}


class Selected:
    """Rows of a table, or of a view, in the database that the application writes to."""

    def __init__(self, dsn: str, documents: LiteralString) -> None:
        """`documents`: a query for `id`, `revision` and `batch` of all."""
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._documents = SQL(documents)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def found(self, keys: Collection[int]) -> set[int]:
        """One SELECT for all of them."""
        query = SQL("select id from ({}) found where id = any(%s)").format(self._documents)
        return {key for (key,) in self._connection.execute(query, [[*keys]])}

    def backlog(self) -> int:
        """A count."""
        query = SQL("select count(*) from ({}) found where batch = %s").format(self._documents)
        row = self._connection.execute(query, [BACKLOG]).fetchone()
        return row[0] if row else 0

    def revisions(self) -> dict[int, int]:
        """All rows, as of one moment."""
        query = SQL("select id, revision from ({}) found").format(self._documents)
        return dict(self._connection.execute(query).fetchall())
