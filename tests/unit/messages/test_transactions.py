"""Transactions of a database, put together again out of the topics of its tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cdc_daemon.values import read_json
from connectors.messages.debezium import transaction_of
from connectors.messages.message import Said, Transaction
from connectors.messages.transactions import (
    PATIENCE_SECONDS,
    SHORT_PATIENCE_SECONDS,
    Held,
    Transactions,
)

NOW = 1000.0


def hold(
    transactions: Transactions[str], number: str, order: int, place: str = "hotel", offset: int = 0
) -> bool:
    """A message of a transaction comes."""
    said = Said(transaction=Transaction(number, order))
    return transactions.hold(Held(place, offset, said, 100), number, NOW)


def tell(
    transactions: Transactions[str], status: str, number: str, now: float = NOW, **counts: int
) -> None:
    """A message of the topic of transactions comes."""
    said: dict[str, Any] = {"status": status, "id": f"{number}:99"}
    said["data_collections"] = [
        {"data_collection": f"public.{table}", "event_count": count}
        for table, count in counts.items()
    ]
    held = Held("transaction", 0, Said(), 10)
    transactions.told(json.dumps(said).encode(), held, now)


def whole(transactions: Transactions[str], now: float = NOW) -> list[list[int]]:
    """The orders of the messages of each transaction that goes on."""
    return [
        [one.said.transaction.order for one in held if one.said.transaction is not None]
        for held in transactions.whole(now)
    ]


def test_a_transaction_goes_on_once_all_of_it_has_come() -> None:
    """In the order of its events, whichever topic they came by; other tables' don't count."""
    transactions: Transactions[str] = Transactions(["public.hotel", "public.room"])
    assert hold(transactions, "7", 2, "room")
    tell(transactions, "END", "7", hotel=1, room=1, guest=5)
    assert whole(transactions) == []
    assert hold(transactions, "7", 1)
    assert whole(transactions) == [[1, 2]]


def test_transactions_go_on_in_the_order_of_their_ends() -> None:
    """One that is whole waits for those that ended before."""
    transactions: Transactions[str] = Transactions(["public.hotel"])
    tell(transactions, "END", "7", hotel=1)
    tell(transactions, "END", "8", hotel=1)
    hold(transactions, "8", 1)
    assert whole(transactions) == []
    hold(transactions, "7", 3)
    assert whole(transactions) == [[3], [1]]


def test_what_never_comes_is_not_waited_for() -> None:
    """The rest goes on after a while, and what comes later goes on by itself."""
    transactions: Transactions[str] = Transactions(["public.hotel"])
    hold(transactions, "7", 1)
    tell(transactions, "END", "7", hotel=2)
    late = NOW + PATIENCE_SECONDS + 1
    assert whole(transactions) == []
    assert whole(transactions, late) == [[1]]
    assert transactions.incomplete == 1
    assert not hold(transactions, "7", 2)


def test_a_message_that_nobody_understands_is_not_waited_for_long() -> None:
    """It may be what a transaction lacks; another one that lacks more is waited for."""
    transactions: Transactions[str] = Transactions(["public.hotel"])
    for number, count in (("7", 2), ("8", 2)):
        hold(transactions, number, 1)
        tell(transactions, "END", number, hotel=count)
    transactions.pass_by(NOW)
    soon = NOW + SHORT_PATIENCE_SECONDS + 0.1
    assert whole(transactions, NOW + 1) == []
    assert whole(transactions, soon) == [[1]]
    assert whole(transactions, soon) == []
    assert whole(transactions, NOW + PATIENCE_SECONDS + 0.1) == [[1]]
    assert transactions.incomplete == 2


def test_one_that_is_too_large_goes_on_in_parts() -> None:
    """Memory is bounded, whatever the size of a transaction."""
    transactions: Transactions[str] = Transactions(["public.hotel"], most_bytes=250)
    for order in (1, 2, 3):
        hold(transactions, "7", order)
    assert whole(transactions) == [[1, 2, 3]]
    assert not hold(transactions, "7", 4)


def test_what_waits_holds_its_offsets_back() -> None:
    """What a group commits must not lie beyond it."""
    transactions: Transactions[str] = Transactions(["public.hotel"])
    hold(transactions, "7", 1, offset=41)
    hold(transactions, "7", 2, offset=42)
    assert transactions.first_held("hotel") == 41
    tell(transactions, "END", "7", hotel=2)
    assert whole(transactions) == [[1, 2]]
    assert transactions.first_held("hotel") is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:22", "3e11fa47-71ca-11e1-9e33-c80aa9429562:23"),
        ("00000025:00000d98:00a2", "00000025:00000d98:00a3"),
        ("file=mysql-bin.000003,pos=1", "file=mysql-bin.000003,pos=2"),
        ("0-1-270", "0-1-271"),
    ],
    ids=["MySQL with GTID", "SQL Server", "MySQL without", "MariaDB"],
)
def test_transactions_of_other_databases_are_told_apart(first: str, second: str) -> None:
    """By the whole of their ids: what stands before a colon may be the same for all of them."""
    transactions: Transactions[str] = Transactions(["public.hotel"])
    for number, order in ((first, 2), (first, 1), (second, 1)):
        block = transaction_of(read_json(json.dumps({"id": number, "total_order": order}).encode()))
        assert block is not None
        transactions.hold(Held("hotel", 0, Said(transaction=block), 100), block.number, NOW)
    for number, count in ((first, 2), (second, 1)):
        counted = [{"data_collection": "public.hotel", "event_count": count}]
        said = json.dumps({"status": "END", "id": number, "data_collections": counted})
        transactions.told(said.encode(), Held("transaction", 0, Said(), 10), NOW)
    assert whole(transactions) == [[1, 2], [1]]


def test_places_in_the_log_tell_no_transactions_apart() -> None:
    """PostgreSQL's id has one of its own in each message."""
    for one in ("571:53195832", "571:53195904", "571"):
        assert transaction_of({"id": one}) == ("571", 0)


def test_a_number_that_is_given_again_is_another_transaction() -> None:
    """Numbers of transactions come round, and messages come again."""
    transactions: Transactions[str] = Transactions(["public.hotel"])
    for _ in range(2):
        tell(transactions, "BEGIN", "7")
        assert hold(transactions, "7", 1)
        tell(transactions, "END", "7", hotel=1)
        assert whole(transactions) == [[1]]


def test_what_a_connector_tells_again_counts_once() -> None:
    """After its restart it sends the end of a transaction again, and rows that have come."""
    transactions: Transactions[str] = Transactions(["public.hotel"])
    for offset in range(2):
        tell(transactions, "BEGIN", "7")
        assert hold(transactions, "7", 1, offset=offset)
        tell(transactions, "END", "7", hotel=2)
    assert whole(transactions) == []
    assert hold(transactions, "7", 2, offset=2)
    assert whole(transactions) == [[1, 1, 2]]
    tell(transactions, "END", "7", hotel=2)
    assert whole(transactions) == []
    assert transactions.incomplete == 0
