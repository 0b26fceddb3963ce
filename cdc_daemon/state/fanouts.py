"""Fan-outs: changes of rows that many documents show, until all of these are pending.

What such documents have in common is a group of an index: the rows that refer to the one that has
changed. It is gone over in slices, in the order of its entries. A change that comes meanwhile
begins no fan-out of its own: the group is gone over once more, so that one which never stops
changing is done with each change in two times at most.

projection (4 bytes) | way (8 bytes) | group
-> first | again | where it goes on

Beside them, since there may be one of each row that a statement has changed, and the oldest is
asked for after each slice:

projection (4 bytes) | the oldest change of one
-> how many there are that are as old
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.state.environment import Database, Transaction

WAY_BYTES: Final = 8
"""A digest, which is the same after a restart."""
_NUMBER: Final = Struct(">I")
_GROUP_FROM: Final = _NUMBER.size + WAY_BYTES
_HEAD: Final = Struct(">QQ")
_AGE: Final = Struct(">IQ")
_COUNT_BYTES: Final = 8


class FanOut(NamedTuple):
    """One of them."""

    way: bytes
    """From the rows of the group to the documents."""
    group: bytes
    first: Position
    """The oldest change for which the group is gone over."""
    again: Position = NOWHERE
    """The oldest one that has come since it was begun; NOWHERE: none."""
    begin: bytes = b""
    """The entry that is next; empty: nothing of it is done."""

    @property
    def oldest(self) -> Position:
        """Of all changes of which a document may not be pending yet."""
        return min(self.first, self.again or self.first)


class FanOutSet:
    """The fan-outs that are open, within one transaction."""

    def __init__(self, txn: Transaction, database: Database, ages: Database) -> None:
        self._txn = txn
        self._database = database
        self._ages = ages

    def open(self, projection: int, way: bytes, group: bytes, at: Position) -> None:
        """A change at this position shows in all documents of the group."""
        found = self._txn.get(_NUMBER.pack(projection) + way + group, db=self._database)
        before = None if found is None else _unpacked(way, group, found)
        one = before or FanOut(way, group, at)
        if one.begin:
            one = one._replace(again=min(one.again or at, at))
        else:
            one = one._replace(first=min(one.first, at))
        self._put(projection, one)
        self._aged(projection, before, one)

    def went_on(self, projection: int, one: FanOut, begin: bytes) -> None:
        """The entries before `begin` are done; all of them where it is empty."""
        if begin:
            self._put(projection, one._replace(begin=begin))
        elif one.again:
            once_more = FanOut(one.way, one.group, one.again)
            self._put(projection, once_more)
            self._aged(projection, one, once_more)
        else:
            key = _NUMBER.pack(projection) + one.way + one.group
            self._txn.delete(key, db=self._database)
            self._aged(projection, one, None)

    def oldest(self, projection: int) -> Position | None:
        """The oldest change of all those of a projection; None where none is open."""
        prefix = _NUMBER.pack(projection)
        with self._txn.cursor(self._ages) as cursor:
            if not cursor.set_range(prefix) or not cursor.key().startswith(prefix):
                return None
            return Position(_AGE.unpack(cursor.key())[1])

    def of(self, projection: int, after: bytes = b"") -> Iterator[FanOut]:
        """Those of a projection; if `after` is way and group of one, those that come after it."""
        prefix = _NUMBER.pack(projection)
        with self._txn.cursor(self._database) as cursor:
            there = cursor.set_range(prefix + after)
            if there and after and cursor.key() == prefix + after:
                there = cursor.next()
            if there:
                for key, value in cursor.iternext(keys=True, values=True):
                    if not key.startswith(prefix):
                        return
                    yield _unpacked(key[_NUMBER.size : _GROUP_FROM], key[_GROUP_FROM:], value)

    def _put(self, projection: int, one: FanOut) -> None:
        key = _NUMBER.pack(projection) + one.way + one.group
        self._txn.put(key, _HEAD.pack(one.first, one.again) + one.begin, db=self._database)

    def _aged(self, projection: int, before: FanOut | None, now: FanOut | None) -> None:
        if before is not None:
            self._count(projection, before.oldest, -1)
        if now is not None:
            self._count(projection, now.oldest, 1)

    def _count(self, projection: int, age: Position, by: int) -> None:
        key = _AGE.pack(projection, age)
        count = int.from_bytes(self._txn.get(key, b"", db=self._ages)) + by
        if count:
            self._txn.put(key, count.to_bytes(_COUNT_BYTES), db=self._ages)
        else:
            self._txn.delete(key, db=self._ages)


def _unpacked(way: bytes, group: bytes, value: bytes) -> FanOut:
    first, again = _HEAD.unpack_from(value)
    return FanOut(way, group, Position(first), Position(again), value[_HEAD.size :])
