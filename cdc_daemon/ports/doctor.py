"""What can be told beforehand (`cdc-daemon check`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of `cdc-daemon check` found."""

    check: str
    """What was looked at, in few words: `wal_level`, `table public.hotel`."""
    level: Literal["ok", "warning", "problem"]
    """Problem: the daemon would stop at it, or do harm. Warning: it would run, until later."""
    message: str
    """One paragraph; of what isn't ok, with the SQL or the setting that mends it."""


Subject_contra = TypeVar("Subject_contra", contravariant=True)


@runtime_checkable
class Doctor(Protocol[Subject_contra]):
    """A source or sink that can tell beforehand what would fail. Not every one is a doctor.

    The subjects are the relations that are followed (source), the read models (sink).
    """

    def examine(self, subjects: Sequence[Subject_contra]) -> Iterator[Finding]:
        """Look at everything, touch nothing, and go on after a problem.

        Raises only what made it impossible to go on: RetryError, SourceError, SinkError.
        """
