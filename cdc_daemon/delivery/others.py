"""How far documents are that others write, and up to where our own refreshes show them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERYWHERE: Final = Position(2**64)
"""Above all positions: where there is no such bound."""


class Others(NamedTuple):
    """How far they are, as they have told."""

    durable: Position
    searchable: Position


NOBODY: Final = Others(EVERYWHERE, EVERYWHERE)


class Shown:
    """A refresh shows all that is in the index, whoever has written it."""

    def __init__(self) -> None:
        self._began: dict[str, Position] = {}
        """How far others were when the last refresh of each index began."""
        self._shown: dict[str, Position] = {}

    def follow(self, indices: Iterable[str]) -> None:
        """Nothing is known of these: they are all that there are."""
        self._shown = dict.fromkeys(indices, NOWHERE)

    @property
    def indices(self) -> Iterable[str]:
        """All that there are."""
        return self._shown

    def begin(self, index: str, others: Others) -> None:
        """It is being refreshed, and others had come so far before, if any were known."""
        self._began[index] = NOWHERE if others is NOBODY else others.durable

    def succeeded(self, index: str) -> None:
        """That was done."""
        self._shown[index] = self._began[index]

    def up_to(self, indices: Iterable[str], others: Others) -> Position:
        """Searches of these show all that others had written up to here: as they say, or we know.

        `indices` without those that need no refresh.
        """
        shown = (self._shown.get(index, NOWHERE) for index in indices)
        return max(others.searchable, min(shown, default=others.durable))
