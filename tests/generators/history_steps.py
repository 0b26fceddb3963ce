"""What the transactions of a random history are made of, over the tables of `history`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeAlias

import psycopg

ACCOUNTS = 300
SHOPS = 5
LINES = 80
FAR = 1000
"""Lines whose key was moved have a number from here on."""
REGIONS = ("north", "a|b", "a\\", "é ")

Step: TypeAlias = Callable[[psycopg.Cursor, random.Random], None]


def _account(chosen: random.Random) -> int:
    return chosen.randint(1, ACCOUNTS)


def _insert_account(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    number = chosen.randint(-1000, 1000)
    cursor.execute(
        "insert into account values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        [
            _account(chosen),
            chosen.choice((None, "", 'a "quote"', "line\nfeed\\", "ünï \U0001f600")),
            number,
            number + chosen.randint(0, 1),
            chosen.choice((None, number)),
            chosen.choice(("open", "closed", "temporary")),
            chosen.choice((None, [], ["x", None, 'y "z"'])),
            chosen.choice((None, '{"k": {"n": 1.50}}', '{"t": "a"}')),
        ],
    )


def _update_account(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute(
        "update account set a = %s, at = clock_timestamp(), state = %s where id = %s",
        [chosen.randint(-1000, 1000), chosen.choice(("open", "closed")), _account(chosen)],
    )


def _update_accounts(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute(
        "update account set a = a + 1, amount = amount + 0.01 where id %% 10 = %s",
        [chosen.randint(0, 9)],
    )


def _delete_account(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute("delete from account where id = %s", [_account(chosen)])


def _move_account(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute("update account set id = %s where id = %s", [_account(chosen), _account(chosen)])


def _swap_accounts(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    one, other = chosen.sample(range(1, ACCOUNTS + 1), 2)
    nowhere = -chosen.randint(1, 2**30)
    for old, new in ((one, nowhere), (other, one), (nowhere, other)):
        cursor.execute("update account set id = %s where id = %s", [new, old])


def _merge_lines(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute(
        "insert into line select %s, g, 's' || g, g %% 3, g / 7.0, g / 3.0, null, '2026-01-31',"
        " '\\x00ff' from generate_series(1, %s) g on conflict (shop, no)"
        " do update set qty = excluded.qty, price = line.price + 1",
        [chosen.randrange(SHOPS), LINES],
    )


def _update_lines(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute(
        "update line set qty = (qty + 1) %% 4, mood = %s where no %% 7 = %s",
        [chosen.uniform(-1e9, 1e9), chosen.randrange(7)],
    )


def _move_lines(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    shift = chosen.choice((FAR, -FAR))
    cursor.execute(
        "update line set no = no + %s where no %% 11 = %s and (no >= %s) = %s",
        [shift, chosen.randrange(11), FAR, shift < 0],
    )


def _delete_lines(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute("delete from line where no %% 9 = %s", [chosen.randrange(9)])


def _insert_place(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute(
        "insert into place values (%s, %s, %s, %s) on conflict (region, code)"
        " do update set open = not coalesce(place.open, false)",
        [chosen.choice(REGIONS), chosen.choice("|\\x/ "), "p", chosen.choice((None, True))],
    )


def _delete_place(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    cursor.execute("delete from place where region = %s", [chosen.choice(REGIONS)])


def truncate(cursor: psycopg.Cursor, chosen: random.Random) -> None:
    """Now and then, of some tables."""
    if chosen.random() < 0.04:
        tables = chosen.choice(("line", "place", "account", "line, place", "account, line"))
        cursor.execute(f"truncate {tables}")


STEPS: list[Step] = [
    *(_insert_account, _insert_account, _insert_account, _update_account, _update_accounts),
    *(_delete_account, _move_account, _swap_accounts, _merge_lines, _update_lines, _move_lines),
    *(_delete_lines, _insert_place, _delete_place, truncate),
]
