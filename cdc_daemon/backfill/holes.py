"""Documents that wait for a value which the source left out of an update. Pure.

PostgreSQL doesn't send a large value that is stored out of line (TOAST) and did not change. Such a
row is read by its key, in a snapshot that sees the last transaction which touched it, and written
when the stream has passed where the log ended then: the document is that of its row at one
position, as ever. Until then nothing from that transaction on counts as durable.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.errors import StopError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdc_daemon.events import Position
    from cdc_daemon.ports import Visibility

MOST_HOLES: Final = 500_000
"""About 400 bytes each. More come together only where a long backlog updates so many rows of large
values: until the stream has passed it, none of them can be written."""

Name = tuple[str, bytes]
"""Index and document id."""


class Answer(NamedTuple):
    """What was read of some holes."""

    asked: Iterable[Name]
    contents: Mapping[Name, bytes | None]
    """Document, or why there can't be one, or None where `where` leaves the row out; a row that
    isn't there is missing."""
    seen: Visibility
    reached: Position


@dataclass(slots=True)
class Hole:
    """One document that can't be written yet."""

    key: tuple[str, ...]
    after: Position
    """Where the commit before the first transaction that left a value out ends."""
    xid: int
    """The last transaction that touched the row: a snapshot that sees it sees all before."""


class Filled(NamedTuple):
    """A document that can be written now."""

    name: Name
    content: bytes | None
    after: Position


class Holes:
    """All holes of a pipeline, the oldest first. One thread uses it."""

    def __init__(self) -> None:
        self._holes: dict[Name, Hole] = {}
        self._unasked: dict[Name, None] = {}
        self._answers: dict[Name, Answer] = {}
        """What waits for the stream."""

    def __len__(self) -> int:
        return len(self._holes)

    def __contains__(self, name: Name) -> bool:
        return name in self._holes

    def left(self, name: Name, key: tuple[str, ...], xid: int, after: Position) -> None:
        """A transaction has left out a value of this document."""
        hole = self._holes.get(name)
        if hole is None:
            if len(self._holes) >= MOST_HOLES:
                raise StopError(
                    f"more than {MOST_HOLES} documents wait for values that PostgreSQL stores out "
                    "of line and left out of updates. Run: alter table ... replica identity full; "
                    f"for the table of index {name[0]}, and load it anew"
                )
            self._holes[name] = Hole(key, after, xid)
            self._unasked[name] = None
            return
        hole.xid = xid
        answer = self._answers.get(name)
        if answer is not None and not answer.seen.sees(xid):
            del self._answers[name]
            self._unasked[name] = None

    def settled(self, name: Name) -> None:
        """The stream has brought the whole document, or its end."""
        if self._holes.pop(name, None) is not None:
            self._unasked.pop(name, None)
            self._answers.pop(name, None)

    def truncated(self, index: str) -> None:
        """All documents of an index are gone."""
        for name in [name for name in self._holes if name[0] == index]:
            self.settled(name)

    def to_ask(self, most: int) -> dict[Name, tuple[str, ...]]:
        """Keys to be read now; none while as many rows wait for the stream."""
        if len(self._answers) >= most:
            return {}
        names = list(itertools.islice(self._unasked, most))
        for name in names:
            del self._unasked[name]
        return {name: self._holes[name].key for name in names}

    def answered(self, answer: Answer) -> None:
        """Rows were read: what is older than the stream's last word is asked for again."""
        for name in answer.asked:
            hole = self._holes.get(name)
            if hole is None or name in self._unasked:
                continue
            if answer.seen.sees(hole.xid):
                self._answers[name] = answer
            else:
                self._unasked[name] = None

    def ready(self, received: Position) -> list[Filled]:
        """What the stream has passed. They stay holes until they are `settled`."""
        passed = [
            (name, answer) for name, answer in self._answers.items() if answer.reached <= received
        ]
        filled = []
        for name, answer in passed:
            if name in answer.contents:
                filled.append(Filled(name, answer.contents[name], self._holes[name].after))
            else:  # it was gone: what ended it comes, or has come under another key
                del self._answers[name]
                self._unasked[name] = None
        return filled

    def begin_again(self) -> None:
        """The source may have lost what a snapshot saw: everything is asked for again."""
        self._answers.clear()
        self._unasked = dict.fromkeys(self._holes)

    def waits_for(self) -> Position | None:
        """The nearest place of the stream that a row waits for."""
        return min((answer.reached for answer in self._answers.values()), default=None)

    def held(self) -> Position | None:
        """Nothing beyond this is durable."""
        return next((hole.after for hole in self._holes.values()), None)
