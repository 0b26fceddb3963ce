"""Transactions of a database put together again out of the topics of its tables. Pure.

Debezium says in a topic of its own when each has ended, and how many events it had of each table:
that gives their order, and what belongs together. What can't be put together (a part of it was read
by somebody else, it is too large) goes on as far as it has come.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from connectors.messages.message import MessageError
from connectors.messages.parsing import Parser

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator

    from connectors.messages.message import Said

MOST_HELD_BYTES: Final = 32_000_000
"""As much as waits for the sink by default: where more is held, the oldest transaction goes on in
parts."""
PATIENCE_SECONDS: Final = 30.0
"""A transaction of which nothing more has come for so long lacks something for good."""
SHORT_PATIENCE_SECONDS: Final = 2.0
"""The same where messages have come that nobody understands, as many as it lacks: one of those may
be of it. The topics are read side by side, so what is there of it has come by then, mostly."""
MOST_REMEMBERED: Final = 10_000
"""Transactions that are over: what comes of them later goes on by itself."""

_POSTGRES_ID: Final = re.compile(r"([0-9]+):[0-9]+")

PlaceType = TypeVar("PlaceType", bound="Hashable")


class Held(NamedTuple, Generic[PlaceType]):
    """One message that waits for the rest of its transaction."""

    place: PlaceType
    offset: int
    said: Said
    size_bytes: int


@dataclass(slots=True)
class _Open(Generic[PlaceType]):
    """One transaction."""

    number: str
    news_at: float
    held: list[Held[PlaceType]] = field(default_factory=list)
    expected: int | None = None
    """How many events it has of our tables; None before its end has come."""
    events: set[int] = field(default_factory=set)
    """Which have come, by their order: a connector may send them again. Without one each counts."""

    @property
    def lacking(self) -> int | None:
        """How many haven't come; None before that is known."""
        return None if self.expected is None else max(0, self.expected - len(self.events))

    def add(self, held: Held[PlaceType], now: float) -> None:
        """A message of it has come."""
        self.news_at = now
        self.held.append(held)
        if held.said.transaction is not None:
            self.events.add(held.said.transaction.order or -len(self.held))


class Transactions(Generic[PlaceType]):
    """Of one source."""

    def __init__(
        self,
        tables: Collection[str],
        parser: Parser | None = None,
        most_bytes: int = MOST_HELD_BYTES,
    ) -> None:
        """`tables`: whose messages say which transaction they are of, as its END names them."""
        self._tables = frozenset(tables)
        self._most_bytes = most_bytes
        self._parser = parser or Parser()
        self._open: dict[str, _Open[PlaceType]] = {}
        self._ended: deque[str] = deque()
        """Those whose end has come, in its order."""
        self._over: OrderedDict[str, None] = OrderedDict()
        self._held: dict[PlaceType, deque[int]] = {}
        """The offsets that wait, of each place."""
        self._size_bytes = 0
        self._nameless: deque[float] = deque()
        """When messages came that don't say which transaction they are of, since not understood."""
        self.incomplete = 0
        """Transactions that went on in parts."""

    def hold(self, held: Held[PlaceType], number: str, now: float) -> bool:
        """Keep a message until its transaction is whole; False where it needn't wait."""
        if number in self._over:
            return False
        self._open.setdefault(number, _Open(number, now)).add(held, now)
        self._held.setdefault(held.place, deque()).append(held.offset)
        self._size_bytes += held.size_bytes
        return True

    def pass_by(self, now: float) -> None:
        """A message isn't understood, not even which transaction it is of: it doesn't wait."""
        self._nameless.append(now)

    def told(self, value: bytes | None, held: Held[PlaceType], now: float) -> None:
        """A message of the topic of transactions; `held` is where it was."""
        said = self._metadata(value)
        number = number_in(str(said.get("id", "")))
        if said.get("status") == "BEGIN":
            self._over.pop(number, None)
        if not number or not self.hold(held, number, now):
            return
        if said.get("status") == "END":
            self._open[number].expected = self._expected(said)
            if number not in self._ended:  # a connector that was restarted says it again
                self._ended.append(number)

    def whole(self, now: float) -> Iterator[list[Held[PlaceType]]]:
        """Take out those that can go on, in the order of their commits."""
        while self._ended and self._open[self._ended[0]].lacking == 0:
            yield self._take(self._ended[0])
        while self._open and (number := self._overdue(now)) is not None:
            self.incomplete += 1
            yield self._take(number)

    def first_held(self, place: PlaceType) -> int | None:
        """The first offset of a place that waits; None where none does."""
        offsets = self._held.get(place)
        return min(offsets) if offsets else None

    def forget(self) -> None:
        """All comes again."""
        self.__init__(self._tables, self._parser, self._most_bytes)  # type: ignore[misc]  # as it was made

    def _metadata(self, value: bytes | None) -> dict[str, Any]:
        """`{"status": "END", "id": "571:53195832", "data_collections": [...]}`; else nothing."""
        try:
            said, _ = self._parser.parsed(value, "value")
        except MessageError:
            return {}
        return said if isinstance(said, dict) else {}

    def _expected(self, said: dict[str, Any]) -> int:
        return sum(
            int(one.get("event_count") or 0)
            for one in said.get("data_collections") or ()
            if one.get("data_collection") in self._tables
        )

    def _overdue(self, now: float) -> str | None:
        """One that lacks something for good, or is in the way."""
        number = self._ended[0] if self._ended else next(iter(self._open))
        is_late = now - self._open[number].news_at > self._patience(self._open[number], now)
        return number if is_late or self._size_bytes > self._most_bytes else None

    def _patience(self, transaction: _Open[PlaceType], now: float) -> float:
        while self._nameless and now - self._nameless[0] > PATIENCE_SECONDS:
            self._nameless.popleft()
        lacking = transaction.lacking
        is_explained = lacking is not None and lacking <= len(self._nameless)
        return SHORT_PATIENCE_SECONDS if is_explained else PATIENCE_SECONDS

    def _take(self, number: str) -> list[Held[PlaceType]]:
        taken = self._open.pop(number)
        if number in self._ended:
            self._ended.remove(number)
        self._over[number] = None
        if len(self._over) > MOST_REMEMBERED:
            self._over.popitem(last=False)
        for _ in range(min(taken.lacking or 0, len(self._nameless))):
            self._nameless.popleft()
        for one in taken.held:
            self._size_bytes -= one.size_bytes
            self._held[one.place].remove(one.offset)
        return sorted(taken.held, key=_order)


def number_in(transaction_id: str) -> str:
    """What all messages of a transaction say of it, of the id that each has.

    PostgreSQL's has the place in the log behind it, of each message its own: `571:53195832`. Those
    of other databases are the same in all of them, and what looks so may be its server's name: as
    in a GTID of MySQL, `3e11fa47-71ca-11e1-9e33-c80aa9429562:23`.
    """
    found = _POSTGRES_ID.fullmatch(transaction_id)
    return transaction_id if found is None else found[1]


def _order(held: Held[PlaceType]) -> int:
    return 0 if held.said.transaction is None else held.said.transaction.order
