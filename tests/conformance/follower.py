"""Reads a source as the daemon does, and keeps the table that its events add up to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
import pytest

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Change, ChangeKind, Commit, Position, Watermark
from cdc_daemon.ports import TableRequest
from tests.generators.existing_rows import existing_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Relation, Row
    from cdc_daemon.ports import Source
    from tests.conformance.upstream import Rows, Upstream


class Follower:
    """Reads a source as the daemon does, and keeps the table that its events add up to."""

    def __init__(self, upstream: Upstream, source: Source) -> None:
        self.source = source
        self.relations = source.describe([TableRequest(upstream.table, ("id", "note"))])
        self.rows: Rows = {}
        self.commits: list[Commit] = []
        self.changes: list[Change] = []
        self.watermark = Position(0)
        self._open: list[Change] = []

    @property
    def relation(self) -> Relation:
        """The one table."""
        return self.relations[0]

    def load(self) -> Position:
        """Prepare, read what is there beside a new place, begin the stream there."""
        self.source.prepare(self.relations)
        position = self.source.create_place()
        loaded = existing_rows(self.source, self.relation)
        self.rows = dict(map(decoded, loaded))
        assert len(self.rows) == len(loaded), "a row came twice"
        self.start(position)
        return position

    def start(self, after: Position) -> None:
        """Begin the stream; a transaction that was cut short comes again."""
        self._open, self.watermark = [], Position(0)
        self.source.start(self.relations, after)

    def follow(self, commits: int, *, seconds: float = 20) -> list[Commit]:
        """Read until so many more commits came, and return them."""
        wanted = len(self.commits) + commits
        deadline = time.monotonic() + seconds
        while len(self.commits) < wanted:
            assert time.monotonic() < deadline, f"{len(self.commits)} of {wanted} commits came"
            self.read_once(0.2)
        return self.commits[wanted - commits :]

    def read_once(self, timeout_seconds: float) -> None:
        """One `read`, applied."""
        for event in self.source.read(timeout_seconds):
            if isinstance(event, Change):
                self._open.append(event)
            elif isinstance(event, Commit):
                for change in self._open:
                    self._apply(change)
                self.changes.extend(self._open)
                self.commits.append(event)
                self._open = []
            elif isinstance(event, Watermark):
                assert not self._open, "a watermark within a transaction"
                assert event.position >= self.watermark, "a watermark went back"
                self.watermark = event.position

    def idle(self, seconds: float) -> None:
        """Read for that long; nothing is committed meanwhile."""
        before = len(self.commits)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.read_once(0.1)
        assert len(self.commits) == before, "commits came again"

    def confirm(self) -> None:
        """Everything is durable and searchable."""
        position = max(self.watermark, self.commits[-1].position if self.commits else 0)
        position = Position(position)
        self.source.confirm(received=position, durable=position, searchable=position)

    def _apply(self, change: Change) -> None:
        assert change.relation is self.relation, "changes carry the relation that was given"
        if change.kind is ChangeKind.TRUNCATE:
            self.rows.clear()
            return
        if change.old is not None:
            del self.rows[decoded(change.old)[0]]
        if change.new is not None:
            key, note = decoded(change.new)
            if change.kind is ChangeKind.INSERT:
                assert key not in self.rows, "inserted twice"
            self.rows[key] = note


def decoded(row: Row) -> tuple[str, str | None]:
    """Key and note."""
    key, note = (orjson.loads(value) for value in row if isinstance(value, bytes))
    return key, note


@pytest.fixture
def follower(upstream: Upstream) -> Iterator[Follower]:
    """A source and its reader, closed at the end."""
    source = upstream.source()
    yield Follower(upstream, source)
    source.close()


def read_until_it_fails(follower: Follower, *, seconds: float = 20) -> None:
    """Read and confirm until an error comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        follower.read_once(0.1)
        follower.confirm()


def restart(follower: Follower, *, seconds: float = 20) -> None:
    """Start after the last commit, as often as it takes."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            follower.start(follower.commits[-1].position)
        except RetryError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return
