"""Transactions that are read at the same time: folds of their own, one bound of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cdc_daemon.delivery.transactions import OpenTransactions
from cdc_daemon.errors import StateError
from cdc_daemon.events import Change, ChangeKind, StreamAbort, StreamStart, StreamStop
from tests.generators.by_hand import projection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOTELS, ROOMS = projection("hotels"), projection("rooms")
MOST_BYTES = 10_000
MOST_SPILLED_BYTES = 30_000


@pytest.fixture
def transactions(tmp_path: Path) -> Iterator[OpenTransactions]:
    """None has begun."""
    relations = [HOTELS.relation, ROOMS.relation]
    indices = [(HOTELS, "h"), (ROOMS, "r")]
    made = OpenTransactions(
        relations, indices, MOST_BYTES, tmp_path / "spill", None, MOST_SPILLED_BYTES
    )
    yield made
    made.forget()


def insert(transactions: OpenTransactions, number: int, text: bytes = b"{}") -> None:
    """A hotel, wherever changes go just now."""
    row = [b"%d" % number, text]
    destination = transactions.destinations[HOTELS.relation]
    destination.counts[ChangeKind.INSERT] += 1
    for apply, fold in destination.targets:
        apply(Change(HOTELS.relation, ChangeKind.INSERT, row), fold)  # type: ignore[arg-type]  # bytes are values


def drained(transactions: OpenTransactions, xid: int) -> set[bytes]:
    """The ids of what it has made, at its commit."""
    routes = transactions.committed(xid)
    assert [route.index for route in routes] == ["h", "r"]
    ids = {document_id for route in routes for document_id, _ in route.fold.drain()}
    transactions.ended(xid)
    return ids


def test_parts_are_folded_apart_from_each_other_and_from_whole_ones(
    transactions: OpenTransactions,
) -> None:
    """Whatever comes between them; changes are counted together."""
    transactions.follow(StreamStart(7, 7))
    insert(transactions, 1)
    transactions.follow(StreamStop())
    insert(transactions, 2)
    transactions.follow(StreamStart(8, 8))
    insert(transactions, 3)
    transactions.follow(StreamStop())
    assert drained(transactions, 6) == {b"2"}
    transactions.follow(StreamStart(7, 9))
    insert(transactions, 4)
    transactions.follow(StreamStop())
    assert transactions.in_parts == 2
    assert drained(transactions, 8) == {b"3"}
    assert drained(transactions, 7) == {b"1", b"4"}
    assert (transactions.in_parts, transactions.held_bytes) == (0, 0)
    assert transactions.counts[HOTELS.relation][ChangeKind.INSERT] == 4


def test_what_is_rolled_back_is_gone(transactions: OpenTransactions) -> None:
    """A savepoint, a whole transaction, or one of which nothing came."""
    for xid in (7, 8):
        for subxid in (xid, 10 * xid):
            transactions.follow(StreamStart(xid, subxid))
            insert(transactions, subxid)
        transactions.follow(StreamStop())
    transactions.follow(StreamAbort(7, 70))
    transactions.follow(StreamAbort(8, 8))
    transactions.follow(StreamAbort(5, 50))
    transactions.follow(StreamAbort(5, 5))
    assert drained(transactions, 7) == {b"7"}
    assert drained(transactions, 8) == set()
    assert transactions.held_bytes == 0


def test_the_largest_one_goes_to_disk(transactions: OpenTransactions) -> None:
    """All of them share one bound; small ones stay in memory."""
    for xid, text in ((7, b"x"), (8, b"x" * 6_000), (9, b"x" * 2_000)):
        transactions.follow(StreamStart(xid, xid))
        insert(transactions, 1, text)
        transactions.follow(StreamStop())
    assert transactions.spill_if_large() == 0
    insert(transactions, 2, b"x" * 3_000)
    assert 6_000 < transactions.spill_if_large() < 6_100
    assert transactions.spill_if_large() == 0
    [hotels, _] = transactions.committed(8)
    assert (hotels.fold.size_bytes, hotels.fold.spilled_bytes > 6_000) == (0, True)
    assert 11_000 < transactions.held_bytes < 13_000


def test_what_is_on_disk_has_a_bound(transactions: OpenTransactions) -> None:
    """Of all that are open together; what one of them gives back can be taken by another."""
    for xid in (7, 8):
        transactions.follow(StreamStart(xid, xid))
        insert(transactions, 1, b"x" * 14_000)
        transactions.spill_if_large()
        transactions.follow(StreamStop())
    insert(transactions, 2, b"x" * 14_000)
    with pytest.raises(StateError, match=r"state\.max_spill \(30000 bytes\)"):
        transactions.spill_if_large()
    transactions.follow(StreamAbort(8, 8))
    assert transactions.spill_if_large() > 14_000
    with pytest.raises(StateError, match="Nothing is lost"):
        transactions.require_room(14_000)


def test_what_is_gathered_too_late_is_nobodys(transactions: OpenTransactions) -> None:
    """The source was lost while another thread merged what had spilled: it has folds of its own."""
    [hotels, _] = transactions.committed(6)
    transactions.forget()
    hotels.fold.put(b"late", b"{}")
    assert drained(transactions, 6) == set()


def test_what_comes_again_is_forgotten(transactions: OpenTransactions) -> None:
    """The connection was lost in the middle of a part."""
    insert(transactions, 1)
    transactions.follow(StreamStart(7, 7))
    insert(transactions, 2, b"x" * 20_000)
    transactions.spill_if_large()
    transactions.forget()
    assert (transactions.in_parts, transactions.held_bytes) == (0, 0)
    insert(transactions, 3)
    assert drained(transactions, 6) == {b"3"}
