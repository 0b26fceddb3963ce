"""Tokens: which positions they stand for, and which are refused."""

from __future__ import annotations

import pytest

from cdc_daemon.errors import ForeignTokenError, TokenError
from cdc_daemon.events import Position
from connectors.postgres.timelines import Timeline, places_left
from connectors.postgres.tokens import PostgresTokens
from connectors.postgres.walpages import WalPages

HISTORY = "1\t0/5000000\tno recovery target specified\n2\t0/7000000\tno recovery target specified\n"
PAGES = WalPages(8192, 16 * 1024 * 1024)
TOKENS = PostgresTokens(Timeline("71", 3), places_left(HISTORY), PAGES)


@pytest.mark.parametrize(
    ("token", "position"),
    [
        ("0/16B3748", 0x16B3748),
        ("71/3:0/16B3748", 0x16B3748),
        (" 71/3:A/b\n", 0xA0000000B),
        ("0/0", 0),
        ("71/1:0/5000000", 0x5000000),
        ("71/1:0/5000028", 0x5000000),
        ("71/2:0/6000001", 0x6000001),
        ("0/16B4018", 0x16B4000),
        ("0/2000028", 0x2000000),
    ],
)
def test_a_token_stands_for_a_position(token: str, position: int) -> None:
    """A whole one, or an LSN alone; of an earlier timeline as far as that was the server's own; and
    behind the header of a page no record ends.
    """  # noqa: D205 - one sentence
    assert TOKENS.read(token) == position


@pytest.mark.parametrize(
    "token",
    [
        *("", ":", "0", "/", "0/", "/0", "0/0/0", "-0/1", "0/1 0", "0/123456789", "123456789/0"),
        *("71:0/1", "/3:0/1", "71/:0/1", "71/3:", ":0/1", "71/-3:0/1", "71/3/1:0/1", "x/3:0/1"),
        *("71/3:0/G", "0x0/1", "\u0660/\u0661", "71/3::0/1", "0/1;drop table hotel", "9" * 5000),
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """With what one looks like, and no more of what was given than is fit to be shown."""
    with pytest.raises(TokenError, match="not a token") as refused:
        TOKENS.read(token)
    assert not isinstance(refused.value, ForeignTokenError)
    assert "pg_current_wal_insert_lsn" in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("72/3:0/1", "another database cluster, 72"),
        ("71/4:0/1", "a failover that it has yet to follow"),
        ("71/1:0/5000030", "lost in a failover"),
        ("71/2:0/7000001", "left at 0/7000000"),
        ("71/0:0/1", "not a part of it"),
    ],
)
def test_a_token_of_another_history_is_refused(token: str, why: str) -> None:
    """Of another system, of a later timeline, or of a commit that was lost."""
    with pytest.raises(ForeignTokenError, match=why):
        TOKENS.read(token)


def test_what_may_have_been_lost_is_refused_as_that() -> None:
    """Where nobody can say where an earlier timeline was left: with a token that can be waited for
    if it wasn't, and as it is where it is known to be shared.
    """  # noqa: D205 - one sentence
    tokens = PostgresTokens(Timeline("71", 3), {2: Position(0x6000000)}, PAGES, is_exact=False)
    assert tokens.read("71/2:0/6000000") == 0x6000000
    with pytest.raises(ForeignTokenError, match=r"may have been lost.*up to 0/6000000 at least"):
        tokens.read("71/2:0/6000001")
    with pytest.raises(ForeignTokenError, match=r"nobody has said how far.*71/3:0/10"):
        tokens.read("71/1:0/10")
    assert tokens.read("71/3:0/6000001") == 0x6000001
