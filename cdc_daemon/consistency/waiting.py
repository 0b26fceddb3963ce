"""One who waits until searches show something, and why they don't show it yet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cdc_daemon.consistency.hindered import Hindrance
    from cdc_daemon.errors import CdcError
    from cdc_daemon.events import Position


class Positions(Protocol):
    """How far a pipeline is; read by any thread."""

    received: Position
    unfilled: Position | None
    incomplete: Mapping[str, Position]
    unpublished: frozenset[str]
    reread: frozenset[str]

    def durable(self) -> Position:
        """Everything up to here is in the sink."""

    def durable_of(self, indices: Collection[str]) -> Position:
        """The same, as far as it belongs in these indices."""

    def searchable(self) -> Position:
        """Everything up to here can be found by a search."""

    def searchable_of(self, indices: Collection[str]) -> Position:
        """The same, as far as it belongs in these indices."""


class Document(Protocol):
    """A document that is waited for."""

    def is_shown(self) -> bool:
        """Whether a search finds it as it is to be; asked by one thread at a time."""

    def hindrance(self) -> Hindrance | None:
        """Without what it isn't shown; None: nobody knows, so it must be asked again and again.

        When it has come somebody looks.
        """


class Pipeline(Protocol):
    """What is waited on; called by any thread."""

    @property
    def progress(self) -> Positions:
        """How far it is."""

    @property
    def indices(self) -> Mapping[str, str]:
        """The index behind each read model."""

    def hurry(self, position: Position, projections: Collection[str] | None = None) -> None:
        """Somebody waits for this position: hold nothing of it."""

    def take_back(self, position: Position, projections: Collection[str] | None = None) -> None:
        """Whoever has said so waits no longer."""

    def awaited_document(self, projection: str, document_id: bytes, position: Position) -> Document:
        """One document as it was committed up to a position."""


class What(NamedTuple):
    """What is waited for."""

    projection: str | None = None
    """None: all read models that are searched."""
    document_id: bytes | None = None
    """As a JSON string; None: all documents."""

    @property
    def projections(self) -> list[str] | None:
        """What is to be hurried for it."""
        return None if self.projection is None else [self.projection]


class Waiter:
    """One request, until it is answered or leaves."""

    def __init__(self, tokens: Collection[str], what: What) -> None:
        self.tokens = tokens
        self.what = what
        self.since = time.monotonic()
        self.position: Position
        """What the tokens stand for, in the history that is followed now."""
        self.document: Document | None = None
        self.place = 0
        """In the queue that it is in."""
        self.reached = False
        self.refused: CdcError | None = None
        """Why it will never be reached."""
        self.handle: Any = None
        """Of whoever is to be woken."""


def position_of(pipeline: Pipeline, projection: str | None) -> Position:
    """How far searches are, of one read model or of all."""
    progress = pipeline.progress
    if projection is None:
        return progress.searchable()
    return progress.searchable_of((pipeline.indices[projection],))


def may_be_shown(pipeline: Pipeline, projection: str | None) -> bool:
    """Whether positions say what searches show: not while rows are loaded.

    Where no read model is named, those don't count that nobody searches yet, unless it is all.
    """
    progress = pipeline.progress
    if projection is None:
        return not (progress.reread or progress.unpublished.issuperset(pipeline.indices.values()))
    return pipeline.indices[projection] not in progress.unpublished | progress.reread


def unsearched(pipeline: Pipeline) -> list[str]:
    """The read models whose new index nobody searches yet: a wait for all leaves them out."""
    unpublished = pipeline.progress.unpublished
    return sorted(name for name, index in pipeline.indices.items() if index in unpublished)


def reason(pipeline: Pipeline, position: Position, projection: str | None) -> str:
    """Why searches don't show everything up to `position`, in one sentence."""
    progress = pipeline.progress
    if not may_be_shown(pipeline, projection):
        return _why_loading(pipeline, projection)
    if progress.received < position:
        return "the daemon has not received it from the source yet"
    if progress.unfilled is not None and progress.unfilled < position:
        return "a value that the source left out of the stream is being read"
    indices = pipeline.indices
    names = indices.values() if projection is None else [indices[projection]]
    if any(progress.incomplete.get(name, position) < position for name in names):
        return "a change that very many documents show is being worked off"
    durable = progress.durable() if projection is None else progress.durable_of(names)
    if durable < position:
        return "it waits for the sink, which is busy or doesn't answer"
    return "it is written, and the sink has not refreshed the index yet"


def _why_loading(pipeline: Pipeline, projection: str | None) -> str:
    progress = pipeline.progress
    named = None if projection is None else pipeline.indices[projection]
    if progress.reread if named is None else named in progress.reread:
        return "a table has changed: all its rows are read again, and changes come with them"
    return "existing rows are being loaded, and searches don't see the index before they are"
