"""The table that the changes of an outbox add up to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson

from cdc_daemon.events import Change, ChangeKind, Commit, Special, Unreadable
from cdc_daemon.ports import TableRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Event, Position, Relation, Row, Value
    from cdc_daemon.ports import Source

WAIT_SECONDS = 60


class Added:
    """Follows one table, from an empty one on."""

    def __init__(self, source: Source, table: str, columns: Sequence[str] | None = None) -> None:
        names = None if columns is None else tuple(columns)
        self.source = source
        self.relations: list[Relation] = source.describe([TableRequest(table, names)])
        self.rows: dict[Any, list[Any]] = {}
        """By the value of the first column."""
        self.commits: list[Commit] = []
        self.changes: list[Change] = []
        """Of all reads."""
        self._open: list[Change] = []

    def begin(self) -> Position:
        """Follow what comes from now on."""
        self.source.prepare(self.relations)
        place = self.source.create_place()
        self.source.start(self.relations, place)
        return place

    def read_all(self) -> None:
        """Read until nothing is new."""
        while events := self.source.read(0):
            self.take(events)

    def follow(self, commits: int = 1) -> None:
        """Read until so many more reads have come that brought something."""
        wanted = len(self.commits) + commits
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.commits) < wanted:
            assert time.monotonic() < deadline
            self.take(self.source.read(0.2))

    def take(self, events: Sequence[Event]) -> None:
        """Apply what was read."""
        for event in events:
            if isinstance(event, Change):
                self._open.append(event)
            elif isinstance(event, Commit):
                for change in self._open:
                    self._apply(change)
                self.changes.extend(self._open)
                self.commits.append(event)
                self._open = []

    def _apply(self, change: Change) -> None:
        if change.kind is ChangeKind.TRUNCATE:
            self.rows.clear()
        if change.old is not None:
            self.rows.pop(decoded(change.old)[0], None)
        if change.new:
            row = decoded(change.new)
            self.rows[row[0]] = row[1:]


def decoded(row: Row) -> list[Any]:
    """Its values as Python has them; an unreadable one as its reason."""
    return [
        value.reason if isinstance(value, Unreadable) else orjson.loads(_exact(value))
        for value in row
    ]


def _exact(value: Value) -> bytes:
    return value.exact if isinstance(value, Special) else value  # type: ignore[return-value]
