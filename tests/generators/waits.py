"""Clients that wait: tokens as any language takes them, and questions over plain HTTP."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import psycopg

if TYPE_CHECKING:
    from pathlib import Path

BARE = "select pg_current_wal_insert_lsn()::text"
WHOLE = """
select system_identifier || '/' || ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::int
       || ':' || lsn
from pg_control_system(), pg_current_wal_insert_lsn() lsn
"""
PATIENCE_SECONDS = 120.0


class Waited(NamedTuple):
    """What came back."""

    status: int
    body: dict[str, Any]


class Asker:
    """Asks the daemon of a configuration."""

    def __init__(self, file: Path) -> None:
        self._address = json.loads(file.read_text())["web"]["listen"]

    def open(self, path: str) -> http.client.HTTPConnection:
        """A request that is under way."""
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_SECONDS)
        connection.request("GET", path)
        return connection

    def ask(self, *tokens: str, **parameters: object) -> Waited:
        """Wait for tokens."""
        return self.answer(self.open(wait_path(*tokens, **parameters)))

    def get(self, path: str) -> Waited:
        """Another path."""
        return self.answer(self.open(quote(path, safe="/?=&")))

    @staticmethod
    def answer(connection: http.client.HTTPConnection) -> Waited:
        """What a request that is under way comes to."""
        try:
            response = connection.getresponse()
            return Waited(response.status, json.loads(response.read()))
        finally:
            connection.close()


def wait_path(*tokens: str, **parameters: object) -> str:
    """The request that waits for tokens."""
    query = [*(("token", token) for token in tokens), *parameters.items()]
    return f"/api/v1/wait?{urlencode(query)}"


def committed(dsn: str, statement: str, token: str = WHOLE) -> str:
    """Run and commit a statement; the token of that commit."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())
        row = connection.execute(token.encode()).fetchone()
    assert row is not None
    return str(row[0])
