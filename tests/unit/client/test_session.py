from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.client import CookieError, Session, Token
from cdc_daemon.client.session import MOST_HISTORIES, MOST_PROJECTIONS
from cdc_daemon.client.signing import LONGEST_CHARACTERS, MOST_SIGNED_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "a secret of the tests"  # noqa: S105 - of throw-away sessions
OTHER = "another secret of theirs"
HERE, THERE = "7/1", "8/1"


def test_a_session_keeps_the_newest_token_of_each_database() -> None:
    """An older one changes nothing, a newer one does; another database has its own."""
    session = Session([Token(HERE, 5)])
    session.note(Token(HERE, 3))
    assert not session.has_new_tokens
    session.note(Token(THERE, 1))
    session.note(f"{HERE}:0/9")
    assert (session.has_new_tokens, session.has_new_positions) == (True, False)
    assert session.positions("hotels", "7") == [Token(HERE, 9)]
    assert session.positions("hotels", "8") == [Token(THERE, 1)]


def test_what_was_seen_is_waited_for_by_reads_of_the_same_read_model() -> None:
    """Positions never fall, but where the database is another one."""
    session = Session()
    for position in (Token(HERE, 9), Token(HERE, 5)):
        session.saw("hotels", position)
    assert session.positions("hotels", "7") == [Token(HERE, 9)]
    assert session.positions("rooms", "7") == []
    session.saw("hotels", Token(THERE, 1))
    assert session.seen == {"hotels": Token(THERE, 1)}


def test_a_bare_token_is_waited_for_wherever_it_may_belong() -> None:
    """It names no history, so it goes to whichever daemon is asked."""
    assert Session([Token(None, 7)]).positions("hotels", "7") == [Token(None, 7)]


def test_the_database_to_ask_for_is_the_one_written_to_last() -> None:
    """Unless something of the one that the daemons follow is known."""
    session = Session([Token(HERE, 5), Token(THERE, 5)])
    asked = (None, "7", "8", "9")
    assert [session.likely("hotels", system) for system in asked] == ["8", "7", "8", "8"]
    assert Session().likely("hotels", "9") == "9"
    assert Session([], {"hotels": Token(HERE, 5)}).likely("hotels", None) == "7"


def test_a_lost_history_is_forgotten_with_all_that_was_seen_of_it() -> None:
    """The session begins anew, with what it knows of other databases."""
    session = Session([Token(HERE, 5), Token(THERE, 6), Token(None, 7)], {"hotels": Token(HERE, 5)})
    session.forget("7")
    assert (session.tokens, session.seen) == ((Token(THERE, 6),), {})
    assert (session.has_new_tokens, session.has_new_positions) == (True, True)


def test_what_a_failover_may_have_left_is_carried_over() -> None:
    """Of this database, and of earlier timelines; so later reads and other read models wait."""
    session = Session([Token(HERE, 5), Token(THERE, 6)], {"hotels": Token(HERE, 4)})
    session.carry_over(Token("7/2", 0))
    assert session.tokens == (Token("7/2", 5), Token(THERE, 6))
    assert session.seen == {"hotels": Token("7/2", 4)}
    assert (session.has_new_tokens, session.has_new_positions) == (True, True)
    session.carry_over(Token(HERE, 0))
    assert session.tokens == (Token("7/2", 5), Token(THERE, 6))


def test_a_cookie_brings_back_all_that_was_kept() -> None:
    """What one web node has signed another one reads."""
    session = Session([Token(HERE, 5), Token(None, 2)], {"hotels": Token(HERE, 9)})
    read = Session.from_cookie(session.to_cookie(SECRET), SECRET)
    assert (read.tokens, read.seen) == (session.tokens, session.seen)
    assert (read.has_new_tokens, read.has_new_positions) == (False, False)


def test_a_session_never_outgrows_a_cookie() -> None:
    """The oldest goes, of databases and of read models."""
    session = Session()
    for number in range(40):
        session.note(Token(f"{10**18 + number}/1", 2**64 - 1))
        session.saw(f"a_read_model_with_a_long_name_{number}", Token(f"{10**18}/1", 2**64 - 1))
    assert len(session.tokens) == MOST_HISTORIES
    assert len(session.seen) == MOST_PROJECTIONS
    assert session.tokens[-1].system == str(10**18 + 39)
    assert len(session.to_cookie(SECRET)) < LONGEST_CHARACTERS


def test_long_names_of_read_models_leave_room_for_what_was_written() -> None:
    """What was seen longest ago is left out of the text, not of the session: the tokens never."""
    session = Session([Token(f"{10**18 + number}/1", 2**64 - 1) for number in range(4)])
    names = [f"{'a_very_long_name' * 12}_{number}" for number in range(MOST_PROJECTIONS)]
    for name in names:
        session.saw(name, Token(f"{10**18}/1", 2**64 - 1))
    text = session.to_cookie(SECRET)
    assert len(text) <= MOST_SIGNED_CHARACTERS
    read = Session.from_cookie(text, SECRET)
    assert read.tokens == session.tokens
    assert list(read.seen) == names[-len(read.seen) :]
    assert len(read.seen) > 5
    assert len(session.seen) == MOST_PROJECTIONS
    only = Session([Token(HERE, 5)], {"a" * LONGEST_CHARACTERS: Token(HERE, 5)})
    assert Session.from_cookie(only.to_cookie(SECRET), SECRET).seen == {}


def test_secrets_can_be_replaced_without_a_break() -> None:
    """The first one signs, any of them verifies."""
    cookie = Session([Token(HERE, 5)]).to_cookie(OTHER)
    assert Session.from_cookie(cookie, [SECRET, OTHER]).tokens == (Token(HERE, 5),)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda _: "nonsense.\udcff",
        lambda text: text[:-1],
        lambda text: "A" + text[1:],
        lambda text: text.partition(".")[0],
        lambda text: text + "A" * LONGEST_CHARACTERS,
    ],
)
def test_an_altered_cookie_is_refused(spoil: Callable[[str], str]) -> None:
    """Nobody makes others wait for a position that no commit had."""
    with pytest.raises(CookieError, match="not a session"):
        Session.from_cookie(spoil(Session([Token(HERE, 5)]).to_cookie(SECRET)), SECRET)


def test_a_foreign_cookie_is_refused() -> None:
    """What was signed with another secret is nothing here."""
    with pytest.raises(CookieError, match="not a session"):
        Session.from_cookie(Session().to_cookie(OTHER), SECRET)


@pytest.mark.parametrize("at", [-1000.0, 1000.0])
def test_an_expired_cookie_is_refused(at: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is too old nor one from the future counts."""
    cookie = Session().to_cookie(SECRET)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + at)
    with pytest.raises(CookieError, match="begin a new one"):
        Session.from_cookie(cookie, SECRET, lifetime_seconds=500)


def test_a_short_secret_is_refused() -> None:
    """It could be guessed; the message says how to make one."""
    with pytest.raises(CookieError, match="token_urlsafe"):
        Session().to_cookie("short")
