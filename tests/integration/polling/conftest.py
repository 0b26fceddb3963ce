"""A table that is polled, and what polls of it add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.conformance.follower import Follower
from tests.conformance.test_polling import PolledUpstream
from tests.generators.daemons import StartDaemon, daemons
from tests.generators.read_tables import TableSearch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.events import Change, Position
    from tests.conftest import Database

ITEM = """
create table {table} (
  id text primary key, note text, number int not null default 0,
  updated_at timestamptz not null default clock_timestamp(), deleted_at timestamptz);
create index on {table} (updated_at)
"""


class Polled(Follower):
    """Follows one table by polls that are made one by one."""

    def __init__(self, upstream: PolledUpstream) -> None:
        super().__init__(upstream, upstream.source())
        self.upstream = upstream

    def poll(self) -> list[Change]:
        """The changes of the next poll, which must find something."""
        before = len(self.changes)
        self.follow(1)
        return self.changes[before:]

    def poll_in_vain(self) -> None:
        """The next poll finds nothing: something unrelated was written before it."""
        reached, commits = self.watermark, len(self.commits)
        self.upstream.write("select pg_logical_emit_message(true, 'test', 'grows the log')")
        while self.watermark == reached:
            self.read_once(1)
            assert len(self.commits) == commits, self.changes

    def die(self) -> None:
        """End without a word; what was given isn't durable."""
        self.source.close()
        self.source = self.upstream.source()

    def go_on(self, after: Position) -> None:
        """In another process, from what is durable."""
        self.source.prepare(self.relations)
        self.start(after)


@pytest.fixture
def tables(database: Database) -> TableSearch:
    """Queries of the read tables in the test's database."""
    return TableSearch(database.dsn)


@pytest.fixture
def start_daemon(database: Database, tmp_path: Path) -> Iterator[StartDaemon]:
    """Run daemons that poll the test's database, where the read tables are too."""
    sink = {"type": "postgres", "dsn": database.dsn}
    with daemons(database.dsn, sink, tmp_path) as make:
        yield make


class Poll(Protocol):
    """Begins to poll a table that is there, and was loaded."""

    def __call__(self, ddl: str = ITEM, **how: Any) -> Polled:
        """`how`: as in `source.tables`."""


@pytest.fixture
def poll(database: Database, tmp_path: Path) -> Iterator[Poll]:
    """Polls are a tenth of a second apart."""
    made: list[PolledUpstream] = []

    def begin(ddl: str = ITEM, **how: Any) -> Polled:
        upstream = PolledUpstream(database, ("public", "item"), ddl, tmp_path, **how)
        made.append(upstream)
        return Polled(upstream)

    yield begin
    for upstream in made:
        upstream.close()
