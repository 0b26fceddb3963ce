"""What a source of messages says of them. Not every source is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence


class PartReport(NamedTuple):
    """A part of the messages that is read in order: a partition, a queue."""

    name: str
    waiting: int
    """Messages in it that aren't read."""
    behind_seconds: float
    """How old the last one that was read is; 0 where none waits."""


@dataclass(frozen=True, slots=True)
class MessageReport:
    """What reading has come to."""

    messages: int = 0
    poison: int = 0
    """Those of them that weren't understood."""
    incomplete: int = 0
    """Transactions that went on in parts."""
    fallen: int = 0
    """Messages of which the version is far below those before, though they came to be later."""
    rebalances: int = 0
    """How often parts have come to us, or gone to others."""
    parts: Sequence[PartReport] = ()
    """Those that are ours."""


@runtime_checkable
class ReadsMessages(Protocol):
    """A source whose changes come as messages."""

    def message_report(self) -> MessageReport:
        """What reading has come to. Any thread may ask."""
