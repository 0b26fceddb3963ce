"""Those who wait for a pipeline that is as far as the test says."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from cdc_daemon.consistency.waiters import Waiters
from cdc_daemon.consistency.waiting import Waiter, What
from cdc_daemon.errors import SinkError
from cdc_daemon.events import NOWHERE, Position
from tests.generators.scripted_source import MemoryTokens

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cdc_daemon.consistency.hindered import Hindrance


class Positions:
    """How far a pipeline is, as the test says."""

    def __init__(self) -> None:
        self.received = NOWHERE
        self.unfilled: Position | None = None
        self.incomplete: Mapping[str, Position] = MappingProxyType({})
        self.unpublished: frozenset[str] = frozenset()
        self.reread: frozenset[str] = frozenset()
        self.by_index = {"i1": NOWHERE, "i2": NOWHERE}
        self.written = NOWHERE

    def durable(self) -> Position:
        """As set."""
        return self.written

    def durable_of(self, indices: Collection[str]) -> Position:  # noqa: ARG002 - the port
        """As set."""
        return self.written

    def searchable(self) -> Position:
        """All of it."""
        return min(self.by_index.values())

    def searchable_of(self, indices: Collection[str]) -> Position:
        """As set."""
        return min(self.by_index[index] for index in indices)


class Document:
    """Shown when the test says so."""

    def __init__(self) -> None:
        self.shown = False
        self.fails = False
        """Whether nobody can say just now whether it is shown."""
        self.asked = 0
        self.waits_for: Hindrance | None = None

    def is_shown(self) -> bool:
        """As set."""
        if self.fails:
            raise SinkError("nobody can say")
        self.asked += 1
        return self.shown

    def hindrance(self) -> Hindrance | None:
        """As set."""
        return self.waits_for


class FakePipeline:
    """A pipeline of two read models."""

    def __init__(self) -> None:
        self.progress = Positions()
        self.indices: Mapping[str, str] = {"one": "i1", "two": "i2"}
        self.hurried: list[tuple[Position, list[str] | None]] = []
        self.documents: dict[bytes, Document] = {}

    def hurry(self, position: Position, projections: Collection[str] | None = None) -> None:
        """Note it."""
        self.hurried.append((position, None if projections is None else list(projections)))

    def take_back(self, position: Position, projections: Collection[str] | None = None) -> None:
        """It isn't hurried any more."""
        self.hurried.remove((position, None if projections is None else list(projections)))

    def awaited_document(
        self,
        projection: str,  # noqa: ARG002 - the port
        document_id: bytes,
        position: Position,  # noqa: ARG002 - the port
    ) -> Document:
        """One a document."""
        return self.documents.setdefault(document_id, Document())

    def reach(self, received: int, one: int, two: int) -> None:
        """It goes on."""
        self.progress.received = Position(received)
        self.progress.by_index = {"i1": Position(one), "i2": Position(two)}


class Room:
    """Waiters of a pipeline, and who was woken: one list a call."""

    def __init__(self, most: int = 100) -> None:
        self.pipeline = FakePipeline()
        self.waiters = Waiters(most)
        self.calls: list[Sequence[Waiter]] = []
        self.waiters.wake = self.calls.append
        self.waiters.follow(self.pipeline, MemoryTokens("e"))

    def wait(self, *tokens: object, what: What | None = None) -> Waiter:
        """One more."""
        waiter = Waiter([str(token) for token in tokens], what or What())
        self.waiters.add(waiter)
        return waiter

    @property
    def woken(self) -> list[Waiter]:
        """Everyone until now."""
        return [waiter for call in self.calls for waiter in call]
