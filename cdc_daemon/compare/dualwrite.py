"""Applications that write twice: they commit, and then post what they have committed."""

from __future__ import annotations

import http.client
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import dict_row

from cdc_daemon.client import Changes, Writer, commit_versioned
from cdc_daemon.compare.application import Application
from cdc_daemon.compare.store import TABLE
from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY: Final = "may-post"
"""Of servers that nobody else reaches, and that live for minutes."""
WEB: Final = f", changes: {{keys: {{compare: {KEY}}}}}"
"""What `web` says beyond that of the others."""
POSTED: Final = """type: http, tables: {public.booking: {key: [id], columns: {
  id: bigint, revision: int, guest: text, nights: int, price: "numeric(10,2)", note: text,
  batch: int, updated_at: timestamptz}}}"""
"""A source without a database: there is no catalog to ask, so columns are declared."""
POST_SECONDS: Final = 0.5
"""The application waits no longer for its second write: a person waits for the first."""
LOAD_ROWS: Final = 1_000
"""So many existing rows are posted at once."""
LOAD_SECONDS: Final = 60.0
"""One such post may take so long."""


class PostingApplication(Application):
    """Commits, and then posts; how it does each is said by those that are made of it."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._changes = Changes()

    def give_up(self, key: int) -> None:
        """A new row that is rolled back, and never posted."""
        super().give_up(key)
        self._changes = Changes()

    def written(self, row: Mapping[str, Any], *, is_deleted: bool) -> None:
        """It is to be posted."""
        if is_deleted:
            self._changes.delete(TABLE, {"id": row["id"]})
        else:
            self._changes.upsert(TABLE, row)

    def taken(self) -> Changes:
        """What is to be posted of this transaction."""
        changes, self._changes = self._changes, Changes()
        return changes


class RepairedApplication(PostingApplication):
    """Beside CDC, which brings what isn't posted in time: the version says which came first."""

    def __init__(self, dsn: str, daemon_url: str) -> None:
        super().__init__(dsn)
        self._writer = Writer(daemon_url, KEY, timeout=POST_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        super().__exit__()

    def commit(self) -> float:
        """The version is read before COMMIT, and sent with the post behind it."""
        committed = commit_versioned(self.connection)
        moment = time.monotonic()
        self._writer.post(self.taken(), committed)
        return moment


class LoneApplication(PostingApplication):
    """Its posts are all there is: the order of their arrival counts, and what fails is lost."""

    def __init__(self, dsn: str, daemon_url: str) -> None:
        super().__init__(dsn)
        self._posts = Posts(daemon_url, POST_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._posts.close()
        super().__exit__()

    def commit(self) -> float:
        """What nobody takes is forgotten, as applications forget it."""
        moment = super().commit()
        self._posts.send(self.taken())
        return moment


class Posts:
    """One connection to a daemon that takes posts; each may take so many seconds."""

    def __init__(self, daemon_url: str, seconds: float) -> None:
        self._seconds = seconds
        self._connection = http.client.HTTPConnection(urlsplit(daemon_url).netloc, timeout=seconds)

    def close(self) -> None:
        """End it."""
        self._connection.close()

    def send(self, changes: Changes) -> str | None:
        """Why it wasn't taken in time; None if it was."""
        body = changes.body(None, wait="durable", timeout=self._seconds)
        bearer = {"Authorization": f"Bearer {KEY}"}
        try:
            self._connection.request("POST", "/api/v1/changes", body, bearer)
            answer = self._connection.getresponse()
            said = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return repr(error)
        return None if answer.status == HTTPStatus.OK else f"{answer.status} {said[:500]}"


def post_existing(dsn: str, daemon_url: str) -> None:
    """Post the rows that are there already: without a database nobody else loads them.

    Raises StopError if one isn't taken.
    """
    posts = Posts(daemon_url, LOAD_SECONDS)
    with (
        psycopg.connect(dsn, row_factory=dict_row) as connection,
        connection.cursor("existing") as cursor,
    ):
        cursor.execute("select * from booking")
        while rows := cursor.fetchmany(LOAD_ROWS):
            changes = Changes()
            for row in rows:
                changes.upsert(TABLE, row)
            if why := posts.send(changes):
                raise StopError(f"existing rows can't be posted: {why}")
    posts.close()
