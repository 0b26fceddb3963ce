"""The system that a source follows, as the suites write to it behind the source's back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from cdc_daemon.ports import Source


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    id: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Another note, and with `new_id` another key."""

    id: str
    note: str | None
    new_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """One row gone."""

    id: str


@dataclass(frozen=True, slots=True)
class Truncate:
    """All rows gone at once."""


Write: TypeAlias = Insert | Update | Delete | Truncate
Rows: TypeAlias = dict[str, str | None]


class Upstream(Protocol):
    """The system that the source follows."""

    table: str
    """The table's qualified name."""

    def source(self) -> Source:
        """A source that follows it; all of them are the same pipeline."""

    def commit(self, *writes: Write) -> None:
        """Do all of it in one transaction."""

    def roll_back(self, *writes: Write) -> None:
        """Do all of it, and undo it."""

    def token(self) -> str:
        """What a client takes after a commit."""

    def disconnect(self) -> None:
        """Cut the connections of all sources, from the far side."""
