"""What a source can do besides where applications post changes. Not every one can."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Change, Position
    from cdc_daemon.ports.source import TokenReader


@runtime_checkable
class Versioned(Protocol):
    """A source whose transactions can read a version for what they write, before they commit.

    It must lie at or above the position of every earlier commit of the rows, and below the
    position of their own commit. A source that gives many commits one position (of a reading, of a
    batch) can't promise that.
    """

    def version_reader(self) -> TokenReader:
        """What reads such versions, as of the history that the source is in now.

        Raises RetryError when it can't be reached.
        """


@runtime_checkable
class BringsRowsOnce(Protocol):
    """A source of which no row can be read again: rows are nowhere but in what has come."""

    rows_are: ClassVar[str]
    """Where rows come from, for people: `those that applications post`."""


@runtime_checkable
class TakesChanges(Protocol):
    """A source that has no other system: its stream is what it is given."""

    def give(self, transactions: Sequence[Sequence[Change]]) -> Sequence[Position]:
        """Let them come in the stream, in this order, and say where. Any thread calls it.

        Nothing is promised before the stream has come to them and is durable there. Raises
        QueueFullError where too much waits already, RetryError where nobody follows.
        """
