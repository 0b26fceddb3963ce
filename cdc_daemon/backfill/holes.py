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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdc_daemon.events import Position
    from cdc_daemon.ports import Visibility

MOST_HOLES: Final = 500_000
"""400 to 450 bytes each. They add up over one commit, and over a backlog: none of them can be
written until the stream has passed where their rows were read, which is beyond either."""
BESIDE: Final = 2
"""Who doesn't lead a group of replicas remembers so many times as many: only the leader can have
rows read again, and has about as many in its share."""

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


def most_holes(*, leads: bool) -> int:
    """How many documents may wait at once."""
    return MOST_HOLES if leads else BESIDE * MOST_HOLES


class Holes:
    """All holes of a pipeline, the oldest first. One thread uses it."""

    def __init__(self, most: int) -> None:
        """`most` are remembered."""
        self._most = most
        self._forgotten: Position | None = None
        """Where the commit before the first one ends of which some are not."""
        self._holes: dict[Name, Hole] = {}
        self._unasked: dict[Name, None] = {}
        self._answers: dict[Name, Answer] = {}
        """What waits for the stream."""

    def __len__(self) -> int:
        return len(self._holes)

    def __contains__(self, name: Name) -> bool:
        return name in self._holes

    def left(self, name: Name, key: tuple[str, ...], xid: int, after: Position) -> bool:
        """A transaction has left out a value of this document; whether that is remembered.

        Where it isn't, nothing from that transaction on counts as durable any more: it must come
        again, or its rows must be read by other means.
        """
        hole = self._holes.get(name)
        if hole is None:
            if len(self._holes) >= self._most:
                self._forgotten = after if self._forgotten is None else self._forgotten
                return False
            self._holes[name] = Hole(key, after, xid)
            self._unasked[name] = None
            return True
        hole.xid = xid
        answer = self._answers.get(name)
        if answer is not None and not answer.seen.sees(xid):
            del self._answers[name]
            self._unasked[name] = None
        return True

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
        first = next((hole.after for hole in self._holes.values()), None)
        if first is None or self._forgotten is None:
            return self._forgotten if first is None else first
        return min(first, self._forgotten)
