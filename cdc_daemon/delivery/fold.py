"""Fold a transaction: of all contents that it gives to one document, the last one wins.

Nothing of a transaction is sent before its commit, and then each document once. A fold that
outgrows its bound goes on in sorted runs on disk, which are merged when it is drained, so that
memory stays bounded whatever the size of a transaction.

A transaction that is folded before it ends may take back what a savepoint of it did. So what is put
between two savepoints is a part of its own, in memory or as one run on disk: rolling back cuts
parts off at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from cdc_daemon.delivery.runs import MOST_MERGED, Runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Content: TypeAlias = tuple[bytes, bytes | None]
"""Document id and document; None where there is none; or why the row was rejected."""

ENTRY_OVERHEAD_BYTES: Final = 250
"""What the dictionary entry and two bytes objects cost beside their contents."""

PART_OVERHEAD_BYTES: Final = 500
"""What a savepoint costs beside its contents, until it is spilled: a dictionary, and entries."""


class Part(NamedTuple):
    """What was put between two savepoints."""

    contents: dict[bytes, bytes | None]
    size_before: int
    """What was held in memory when it began."""


class Mark(NamedTuple):
    """Where a savepoint begins: how many parts, truncates and misfits were there before."""

    parts: int
    truncates: int
    misfits: int


BEGINNING: Final = Mark(0, 0, 0)


class Fold:
    """The contents that one transaction gives to the documents of one projection."""

    def __init__(self, folder: Path) -> None:
        self._runs = Runs(folder)
        """The parts that are on disk, a run each."""
        self._parts: list[Part] = []
        """Those that came later and are complete, none of them empty."""
        self._contents: dict[bytes, bytes | None] = {}
        """The part that grows."""
        self._size_before = 0
        self._savepoints: dict[int, Mark] = {}
        """By the number of the subtransaction, in the order of their first changes."""
        self._truncates: list[int] = []
        """How many parts were there at each, at most one a savepoint."""
        self._misfits: list[str] = []
        """Why changes can't be understood, at most one a savepoint."""
        self.size_bytes = 0
        """What is held in memory."""

    def __bool__(self) -> bool:
        return bool(self._contents or self._parts or self._runs or self._truncates or self._misfits)

    @property
    def truncated(self) -> bool:
        """Whether all documents from before the transaction are gone."""
        return bool(self._truncates)

    @property
    def misfit(self) -> str:
        """Why changes can't be understood: they are of another shape of the table; else empty."""
        return self._misfits[0] if self._misfits else ""

    @property
    def spilled_bytes(self) -> int:
        """What is held on disk."""
        return self._runs.size_bytes

    @property
    def is_scattered(self) -> bool:
        """Whether there is more on disk than can be drained at once: `gather` it first."""
        return bool(self._runs) and self._count() + 1 - self._first() > MOST_MERGED

    def put(self, document_id: bytes, body: bytes | None) -> None:
        """Set the content of one document."""
        self._contents[document_id] = body
        self.size_bytes += ENTRY_OVERHEAD_BYTES + (len(body) if body is not None else 0)

    def truncate(self) -> None:
        """No document is left; what was put since the last savepoint needn't be kept."""
        mark = self._last_mark()
        self._cut(mark)
        self._truncates.append(mark.parts)

    def note_misfit(self, why: str) -> None:
        """A change is of another shape of the table: all that is put is worth nothing."""
        if len(self._misfits) == self._last_mark().misfits:
            self._misfits.append(why)

    def enter(self, subxid: int) -> None:
        """What comes now is of this subtransaction, or of one inside it."""
        if subxid in self._savepoints:
            return
        self._complete_part()
        mark = Mark(self._count(), len(self._truncates), len(self._misfits))
        if self._savepoints and next(reversed(self._savepoints.values())) == mark:
            self._savepoints.popitem()  # nothing was put in it: there is nothing to take back
        self._savepoints[subxid] = mark

    def roll_back(self, subxid: int) -> None:
        """Forget everything from the first content of this subtransaction on."""
        if subxid not in self._savepoints:
            return
        while True:
            last, mark = self._savepoints.popitem()
            if last == subxid:
                break
        self._cut(mark)

    def spill(self) -> int:
        """Move what is in memory to disk; return its size in bytes."""
        before = self._runs.size_bytes
        self._complete_part()
        for part in self._parts:
            self._runs.append(sorted(part.contents.items()))
        self._parts = []
        self.size_bytes = self._size_before = 0
        return self._runs.size_bytes - before

    def gather(self) -> None:
        """Merge what is on disk until it can be drained. Slow; nothing is taken back any more."""
        self.spill()
        first = self._runs.gather(self._first())
        self._savepoints = {}
        self._truncates = [first] if self._truncates else []

    def drain(self) -> Iterator[Content]:
        """Give every document's last content once; the fold is empty then."""
        first = self._first()
        if self._runs:
            self.spill()
            yield from self._runs.merged(first)
            self.clear()
            return
        parts = [*(part.contents for part in self._parts), self._contents]
        self.clear()
        contents, *later = parts[first:]
        for part in later:
            contents.update(part)
        yield from contents.items()

    def clear(self) -> None:
        """Forget everything."""
        self._savepoints = {}
        self._cut(BEGINNING)

    def _last_mark(self) -> Mark:
        return next(reversed(self._savepoints.values()), BEGINNING)

    def _count(self) -> int:
        """How many parts are complete."""
        return len(self._runs) + len(self._parts)

    def _first(self) -> int:
        """The first part that counts: what was before a truncate doesn't."""
        return self._truncates[-1] if self._truncates else 0

    def _complete_part(self) -> None:
        if self._contents:
            self._parts.append(Part(self._contents, self._size_before))
            self._contents = {}
            self.size_bytes += PART_OVERHEAD_BYTES
            self._size_before = self.size_bytes

    def _cut(self, mark: Mark) -> None:
        """Forget all parts, truncates and misfits from `mark` on."""
        self._complete_part()
        in_memory = max(0, mark.parts - len(self._runs))
        if in_memory < len(self._parts):
            self.size_bytes = self._size_before = self._parts[in_memory].size_before
            del self._parts[in_memory:]
        self._runs.cut(mark.parts)
        del self._truncates[mark.truncates :]
        del self._misfits[mark.misfits :]
