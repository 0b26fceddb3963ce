"""Keys of rows and of index entries within the 511 bytes that LMDB allows. Pure.

A key that is too long is cut, and a digest of all of it takes the place of the rest: 256 bits, so
that two keys never become one. Of an index entry, whose order counts, what was cut off is kept in
its value, and those that begin alike are put in order when they are read.

    entry of an index:  group | order, key of the row   (at most 510 bytes)
                        group | as much as fits | digest   (511 bytes)
    its value:          length of the row's key [ | the row's key [ | order, key of the row ]]
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST: Final = 511
"""What LMDB takes as a key (`MDB_MAXKEYSIZE`)."""
DIGEST: Final = 32
ROW_KEY_MOST: Final = 254
"""The length of a row's key is one byte; a digest makes it 255, which tells them apart."""
CUT_ROW_KEY: Final = ROW_KEY_MOST + 1
GROUP_MOST: Final = 96
"""A group's key: most are 8 bytes. What is cut begins with these 96, which no whole one does."""
BEGINS_ALIKE: Final = MOST - DIGEST
"""Entries that were cut are in order as far as this."""


_LENGTHS: Final = [bytes((n,)) for n in range(256)]


Entry: TypeAlias = "tuple[bytes, bytes]"
"""Key and value of one entry of an index, as LMDB keeps it."""


def _digest(whole: bytes) -> bytes:
    return blake2b(whole, digest_size=DIGEST).digest()


def row_key(whole: bytes) -> bytes:
    """The key under which a row is kept, of what its key columns are as bytes."""
    if len(whole) <= ROW_KEY_MOST:
        return whole
    return whole[: CUT_ROW_KEY - DIGEST] + _digest(whole)


def is_cut(key: bytes) -> bool:
    """Whether the key of a row is not all that its key columns are."""
    return len(key) == CUT_ROW_KEY


def group_key(whole: bytes) -> bytes:
    """What all entries of a group begin with, and no others."""
    return whole if len(whole) <= GROUP_MOST else whole[:GROUP_MOST] + _digest(whole)


def entry(group: bytes, order: bytes, key: bytes, whole_key: bytes) -> Entry:
    """The entry of the row of that key, in its group and order."""
    place = order + whole_key
    length = _LENGTHS[len(key)]
    value = length + key if is_cut(key) else length
    if len(group) + len(place) < MOST:
        return group + place, value
    return (group + place)[:BEGINS_ALIKE] + _digest(place), length + key + place


def row_key_of(key: bytes, value: bytes) -> bytes:
    """The key of the row that an entry stands for."""
    length = value[0]
    return key[-length:] if len(value) == 1 else value[1 : 1 + length]


def in_order(
    entries: Iterable[tuple[bytes, bytes]], group: int, *, reverse: bool
) -> Iterator[bytes]:
    """The keys of the rows of entries of one group (so many bytes long) as LMDB gives them, but in
    their exact order.
    """  # noqa: D205 - one sentence

    def place(one: tuple[bytes, bytes]) -> bytes:
        key, value = one
        return value[1 + value[0] :] or key[group:]

    alike: list[tuple[bytes, bytes]] = []
    for one in entries:
        key, value = one
        if alike and alike[0][0][:BEGINS_ALIKE] != key[:BEGINS_ALIKE]:
            yield from _row_keys(sorted(alike, key=place, reverse=reverse))
            alike = []
        if len(key) < BEGINS_ALIKE:  # nearly all: no other one begins with all of it
            yield row_key_of(key, value)
        else:
            alike.append(one)
    yield from _row_keys(sorted(alike, key=place, reverse=reverse))


def _row_keys(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    return (row_key_of(key, value) for key, value in entries)


def after(prefix: bytes) -> bytes | None:
    """The first key after all that begin with `prefix`; None where there is no such key."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,)) if head else None
