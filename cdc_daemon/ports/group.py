"""A group of replicas: several daemons of one pipeline; each writes its share of the documents.

The group says who leads, who has which slots, and keeps how far the documents of each slot are.
Nothing is wrong where two believe that they have a slot: versions make the same of both. What
nobody has is written by nobody, so a group gives each slot to somebody who is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Position

SLOTS: Final = 64
"""Into so many the documents of a pipeline are divided: 20 replicas differ by a third at most, and
all that is told of them fits into one request."""


class Seat(NamedTuple):
    """What a member has, as far as it knows."""

    leads: bool = False
    slots: frozenset[int] = frozenset()


NOTHING: Final = Seat()


class Reached(NamedTuple):
    """How far the documents of one slot are: a fact that stays true, whoever has told it."""

    era: str
    """Of which indices it is said (any text without spaces): of others it says nothing."""
    durable: Position
    """Everything up to here is in the sink, of every read model."""
    searchable: Position


class Word(NamedTuple):
    """What a leader says of the whole pipeline to commits that wait for it: it stays true."""

    source_id: str
    """The history that the position is of."""
    position: Position
    """Everything up to here is found by searches, of the read models that commits wait for."""
    is_whole: bool
    """Whether searches see all of these: none is being loaded."""
    table: str = ""
    """One of those that it is of, by `Relation.qualified_name`."""
    membership: str = ""
    """How that belongs to what is followed, as `Source.prepare` says it: of what isn't followed any
    more, since changes were lost, a position says nothing."""


class Group(Protocol):
    """The replicas of one pipeline, as one of them sees them. One thread owns it."""

    def take_part(self, *, leading: bool, sharing: bool) -> None:
        """Be there to lead, to have slots, for both or for neither: that gives up what we have."""

    def look(self, timeout_seconds: float) -> Seat:
        """Let the others know that we are there, and what we have now: at once where it changes.

        Called at least once a second: whoever isn't heard of loses all that it has, to others.
        Raises RetryError where nobody can tell.
        """

    def is_led(self) -> bool:
        """Whether somebody leads. Raises RetryError."""

    def members(self) -> int:
        """How many are there to have slots, or have some. Raises RetryError."""

    def tell(self, reached: Mapping[int, Reached]) -> None:
        """Keep that of these slots, in place of what was told before. Quiet about a slot that is
        somebody else's by now. Raises RetryError.
        """  # noqa: D205 - one sentence

    def say(self, word: Word | None) -> bool:
        """Keep it in place of what was said before; None: take that back. Whether it is kept: it
        isn't where another one leads by now, or who does isn't settled yet.

        Raises RetryError.
        """  # noqa: D205 - one sentence

    def told(self) -> Mapping[int, Reached]:
        """What was told of each slot last, whoever has it; without those nobody has told of.

        Raises RetryError.
        """

    def close(self) -> None:
        """Leave at once, so that others needn't wait. Safe to call twice."""


@runtime_checkable
class Shareable(Protocol):
    """A source that any number of replicas can follow, each all of it. Not every one is."""

    def group(self, sink: str) -> Group:
        """The replicas of the pipeline that write into the sink of this `Sink.identity`: others of
        its name are none of them. Connects to nothing yet.
        """  # noqa: D205 - one sentence
