from __future__ import annotations

import random

import pytest

from cdc_daemon.client import CookieError, Session, Token
from cdc_daemon.client.carrying import Carrier

SECRET = "a secret of the tests"  # noqa: S105 - of throw-away sessions
CARRIER = Carrier(SECRET)


class Browser:
    """Keeps cookies as browsers do: the last one of each name."""

    def __init__(self) -> None:
        self.jar: dict[str, str] = {}

    def begin(self) -> tuple[Session, dict[str, str]]:
        """A request leaves, with what is kept now."""
        return CARRIER.brought(self.jar, None), dict(self.jar)

    def end(self, session: Session, brought: dict[str, str]) -> None:
        """Its response arrives."""
        for cookie in CARRIER.cookies(session, brought):
            if cookie.lifetime_seconds:
                self.jar[cookie.name] = cookie.value
            else:
                self.jar.pop(cookie.name, None)


def test_a_write_is_known_to_the_next_request() -> None:
    """Its token comes with the cookie; a request that writes nothing sets none."""
    browser = Browser()
    session, brought = browser.begin()
    session.note(Token("7/1", 5))
    browser.end(session, brought)
    session, brought = browser.begin()
    assert session.tokens == (Token("7/1", 5),)
    assert list(CARRIER.cookies(session, brought)) == []


def test_no_write_is_forgotten_whatever_order_responses_come_in() -> None:
    """Requests of one browser run side by side; what each has noted stays, and cookies are few."""
    chance = random.Random(7)
    browser, under_way, newest = Browser(), [], 0
    for lsn in range(1, 400):
        session, brought = browser.begin()
        assert newest <= max([0, *(token.lsn for token in session.tokens)])
        if chance.random() < 0.5:
            session.note(Token("7/1", lsn))
        else:
            session.saw("hotels", Token("7/1", lsn))
        under_way.append((session, brought))
        while len(under_way) > chance.randrange(5):
            session, brought = under_way.pop(chance.randrange(len(under_way)))
            browser.end(session, brought)
            newest = max([newest, *(token.lsn for token in session.tokens)])
        assert len(browser.jar) <= 8


def test_what_was_seen_is_one_cookie() -> None:
    """It changes with every read, so it doesn't get a name each time."""
    browser = Browser()
    for lsn in (5, 9):
        session, brought = browser.begin()
        session.saw("hotels", Token("7/1", lsn))
        browser.end(session, brought)
    assert list(browser.jar) == ["cdc_session-seen"]
    assert browser.begin()[0].seen == {"hotels": Token("7/1", 9)}


def test_a_header_and_cookies_are_combined() -> None:
    """Another service may bring what a browser doesn't."""
    other = Session([Token("7/1", 9)])
    browser = Browser()
    session, brought = browser.begin()
    session.note(Token("7/1", 5))
    browser.end(session, brought)
    other.note(Token("7/1", 10))
    header = CARRIER.text(other)
    assert CARRIER.brought(browser.jar, header).tokens == (Token("7/1", 10),)
    assert CARRIER.text(CARRIER.brought({}, header)) is None


@pytest.mark.parametrize(
    "text",
    ["", "tampered.with", Session().to_cookie("a foreign secret")],
    ids=["empty", "tampered", "foreign"],  # the last says when it was written
)
def test_what_is_not_ours_begins_a_new_session(text: str) -> None:
    """A visitor with a spoilt cookie is a new one, and sees no error."""
    brought = {"cdc_session-01234567": text, "other": "1"}
    session = CARRIER.brought(brought, text)
    assert (session.tokens, session.seen) == ((), {})
    session.note(Token("7/1", 5))
    assert next(CARRIER.cookies(session, brought)).name == "cdc_session-01234567"


def test_cookies_of_another_application_are_left_alone() -> None:
    """Browsers send to one port what another one has set; one name may begin like the other."""
    other = Carrier(SECRET, cookie="cdc_session-x")
    session = Session()
    session.note(Token("7/1", 5))
    brought = {cookie.name: cookie.value for cookie in other.cookies(session, {})}
    assert CARRIER.brought(brought, None).tokens == ()
    assert [cookie.name in brought for cookie in CARRIER.cookies(session, brought)] == [False]


def test_a_history_that_was_lost_takes_its_cookies_along() -> None:
    """After a restore the browser keeps nothing of before."""
    browser = Browser()
    session, brought = browser.begin()
    session.note(Token("7/1", 5))
    browser.end(session, brought)
    session, brought = browser.begin()
    session.forget("7")
    browser.end(session, brought)
    session, _ = browser.begin()
    assert session.tokens == ()


def test_a_bad_secret_is_found_when_the_application_starts() -> None:
    """Not at the first write."""
    with pytest.raises(CookieError, match="16 characters"):
        Carrier("short")
