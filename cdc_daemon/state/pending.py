"""Documents that must be written, until the sink has them.

projection (4 bytes) | document id, or as much as fits and a digest
-> first and last position at which it was touched | length of the row's key | row's key | id
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import Position
from cdc_daemon.state.keys import DIGEST, MOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cdc_daemon.state.environment import Database, Transaction

_NUMBER: Final = Struct(">I")
_HEAD: Final = Struct(">QQB")


class Pending(NamedTuple):
    """One document that must be written, assembled anew from the row of that key.

    Where that row is gone, or is of another document by now, the document is deleted.
    """

    id: bytes
    """The document id as a JSON string."""
    row_key: bytes
    first: Position
    last: Position


def _key(projection: int, document_id: bytes) -> bytes:
    key = _NUMBER.pack(projection) + document_id
    if len(key) < MOST:
        return key
    return key[: MOST - DIGEST] + blake2b(document_id, digest_size=DIGEST).digest()


class PendingSet:
    """The pending documents, within one transaction."""

    def __init__(self, txn: Transaction, database: Database) -> None:
        self._txn = txn
        self._database = database

    def mark(self, projection: int, document_id: bytes, row_key: bytes, at: Position) -> None:
        """A document must be written: something that it shows has changed at this position."""
        key = _key(projection, document_id)
        found = self._txn.get(key, db=self._database)
        first = at if found is None else _unpacked(found).first
        value = _HEAD.pack(first, at, len(row_key)) + row_key + document_id
        self._txn.put(key, value, db=self._database)

    def written(self, projection: int, ids: Iterable[bytes], version: Position) -> int:
        """The sink has these documents as they were at `version`; return how many are done.

        What was touched again since then stays.
        """
        done = 0
        for document_id in ids:
            key = _key(projection, document_id)
            found = self._txn.get(key, db=self._database)
            if found is None:
                continue
            one = _unpacked(found)
            if one.last <= version:
                done += self._txn.delete(key, db=self._database)
            elif one.first <= version:
                head = _HEAD.pack(version + 1, one.last, len(one.row_key))
                self._txn.put(key, head + one.row_key + one.id, db=self._database)
        return done

    def get(self, projection: int, document_id: bytes) -> Pending | None:
        """What is pending of one document."""
        found = self._txn.get(_key(projection, document_id), db=self._database)
        return None if found is None else _unpacked(found)

    def of(self, projection: int, after: bytes = b"") -> Iterator[Pending]:
        """All pending documents of a projection; or those behind that of the id `after`."""
        prefix = _NUMBER.pack(projection)
        begin = _key(projection, after) if after else prefix
        with self._txn.cursor(self._database) as cursor:
            there = cursor.set_range(begin)
            if there and after and cursor.key() == begin:
                there = cursor.next()
            if there:
                for key, value in cursor.iternext(keys=True, values=True):
                    if not key.startswith(prefix):
                        return
                    yield _unpacked(value)


def _unpacked(value: bytes) -> Pending:
    first, last, length = _HEAD.unpack_from(value)
    begin = _HEAD.size
    end = begin + length
    return Pending(value[end:], value[begin:end], Position(first), Position(last))
