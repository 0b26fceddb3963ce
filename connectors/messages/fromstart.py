"""Existing rows of a source of messages: they are what its messages say from the first one on.

So a load reads no rows. It has the stream read all from the beginning, and is over once that has
come to where it ended when the load began.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from cdc_daemon.errors import ConditionError, RetryError
from cdc_daemon.events import Chunk
from cdc_daemon.ports import ChunkRows, FoundRows
from connectors.messages.nothing import SeenUntil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from cdc_daemon.events import Position, Relation

LOOK_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 10.0
"""Without a message for so long the load says that it waits, and for what."""


class Reread(NamedTuple):
    """How far the stream is that was begun again."""

    read: int
    total: int
    """Messages, of all topics."""
    reached: Position | None
    """Where it was when it had come to the end; None before."""


class Rereadable(Protocol):
    """A stream that can be begun again. Any thread calls it."""

    @property
    def last(self) -> Position:
        """The newest position that was given."""

    def from_start(self) -> bool:
        """Have it begun again, unless it was begun so; False where it isn't to be."""

    def reread(self) -> Reread:
        """How far it is."""


class FromStart:
    """A `ChunkReader` of one load: a chunk is what is left to be read, counted in messages."""

    def __init__(self, stream: Rereadable) -> None:
        self._stream = stream
        self._closed = threading.Event()

    def plan(self, relation: Relation) -> list[Chunk]:
        """One chunk: all there is."""
        if not self._stream.from_start():
            return []
        return [Chunk(relation.qualified_name, 0, 0, (0, 0), None)]

    def check(self, relation: Relation, where: str) -> NoReturn:  # noqa: ARG002 - the port
        """No condition chooses any."""
        raise ConditionError("this source has only messages: no condition chooses among rows")

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> ChunkRows:  # noqa: ARG002 - the port
        """No rows; how far the stream has come meanwhile."""
        self._stream.from_start()
        now = self._wait_beyond(chunk.first[0])
        if now.reached is None:
            rest = replace(chunk, first=(now.read, 0), end=chunk.end)
            return self._read(replace(chunk, end=rest.first), self._stream.last, rest)
        return self._read(chunk, now.reached, None)

    def read_keys(
        self,
        relation: Relation,  # noqa: ARG002 - the port
        columns: Sequence[str],  # noqa: ARG002 - the port
        keys: Sequence[tuple[str, ...]],  # noqa: ARG002 - the port
        where: str = "",  # noqa: ARG002 - the port
    ) -> FoundRows:
        """None can be had but by the stream."""
        return FoundRows([], self.visibility(), self._stream.last)

    def settle(self, joined: Relation | None = None) -> None:
        """All that came is visible."""

    def visibility(self) -> SeenUntil:
        """All that came until now."""
        return SeenUntil(self._stream.last)

    def close(self) -> None:
        """Wait no longer."""
        self._closed.set()

    def _wait_beyond(self, begin: int) -> Reread:
        """Until more is read than was before, or all is."""
        newest, since = -1, time.monotonic()
        while (now := self._stream.reread()).reached is None and now.read <= begin:
            if now.read != newest:
                newest, since = now.read, time.monotonic()
            if time.monotonic() - since > PATIENCE_SECONDS:
                said = f"{now.read} of {now.total} messages are read, and no more come"
                raise RetryError(f"waiting for the stream: {said}", reason="waiting")
            if self._closed.wait(LOOK_SECONDS):
                raise RetryError("the load has ended", reason="closed")
        return now

    def _read(self, chunk: Chunk, reached: Position, rest: Chunk | None) -> ChunkRows:
        return ChunkRows(chunk, [], self.visibility(), reached, rest, size_bytes=0)
