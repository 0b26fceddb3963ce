from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_daemon.client import Token, TokenError

LSNS = st.integers(0, 2**64 - 1)
TOKENS = st.builds(Token, st.sampled_from([None, "7/1", "7/2", "8/1"]), LSNS)


@given(TOKENS)
def test_a_token_is_the_same_after_it_was_text(token: Token) -> None:
    """What is written can be read, with and without an epoch."""
    assert Token.parse(str(token)) == token


def test_a_token_is_read_as_postgres_writes_it() -> None:
    """The epoch is what stands before the last colon; the LSN is in either case."""
    assert Token.parse("7412345678901234567/3:16/b374D848") == Token(
        "7412345678901234567/3", 0x16_B374D848
    )
    assert Token.parse(" 0/16B3748\n") == Token(None, 0x16B3748)


@pytest.mark.parametrize(
    "text",
    ["", "x", "0/", "/0", "0/16B37480F", "1:0/1", "a/1:0/1", "7/1:", "7/1:0/1:0/1", "-1/0", "٣/٣"],
)
def test_what_is_not_a_token_is_refused(text: str) -> None:
    """Nothing that a source could not have given gets to a daemon; the message says what is."""
    with pytest.raises(TokenError, match="after COMMIT"):
        Token.parse(text)


def test_tokens_of_one_history_combine_to_the_later_one() -> None:
    """Who waits for the later one waits for both; a later timeline is later at any LSN."""
    assert Token("7/1", 5) | Token("7/1", 9) == Token("7/1", 9)
    assert Token("7/2", 5) | Token("7/1", 9) == Token("7/2", 5)
    assert Token(None, 5) | Token(None, 3) == Token(None, 5)


@pytest.mark.parametrize("other", ["8/1:0/9", "0/9"])
def test_tokens_of_different_histories_do_not_combine(other: str) -> None:
    """Neither is later, so neither is dropped in silence."""
    with pytest.raises(TokenError, match="different histories"):
        _ = Token("7/1", 5) | Token.parse(other)
