"""What the example applications make of what browsers send: pure parts of deploy/examples."""

from __future__ import annotations

from datetime import date

import pytest

from deploy.examples.hotel.app.nights import Nights
from deploy.examples.showcase.person import Person
from deploy.examples.showcase.receipt import Committed, Receipt, duration
from deploy.examples.showcase.refusal import RefusedError, whole_number

TODAY = date(2026, 11, 26)


def test_a_stay_is_read_from_a_form() -> None:
    """The day of arrival and the number of nights, and the day of departure by them."""
    nights = Nights.of({"arrival": "2027-02-27", "nights": "3"}, TODAY)
    assert (nights.departure, nights.query) == (date(2027, 3, 2), "arrival=2027-02-27&nights=3")


def test_whoever_says_no_day_gets_a_usual_one() -> None:
    """Also where the fields are there, but empty."""
    assert Nights.of({}, TODAY) == Nights.of({"arrival": "", "nights": ""}, TODAY)
    assert Nights.of({}, TODAY).arrival > TODAY


@pytest.mark.parametrize(
    "fields",
    [
        {"arrival": "tomorrow"},
        {"arrival": "2027-02-29"},
        {"nights": "0"},
        {"nights": "61"},
        {"nights": "-1"},
        {"nights": "two"},
        {"nights": "9" * 5000},
        {"arrival": "9999-12-31"},
    ],
)
def test_what_is_no_stay_is_refused(fields: dict[str, str]) -> None:
    """With a sentence for the person, and never an exception of Python's."""
    with pytest.raises(RefusedError, match="Choose a day of arrival") as refused:
        Nights.of(fields, TODAY)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["", "-1", "1.5", "one", "²", "2147483648", "9" * 5000])
def test_what_is_no_key_is_refused(text: str) -> None:
    """Keys are PostgreSQL's integers."""
    assert whole_number("2147483647") == 2147483647
    with pytest.raises(RefusedError):
        whole_number(text)


def test_a_person_is_known_by_cookies_of_one_application() -> None:
    """Cookies of another application on the same machine are somebody else's."""
    cookies = {"hotel_name": "Zo%C3%AB", "hotel_policies": "off", "social_name": "ada_8"}
    assert Person.of(cookies, "hotel") == Person("Zoë", waits=False)
    assert Person.of({}, "hotel") == Person()


def test_a_receipt_says_how_stale_a_page_may_be() -> None:
    """What nobody could say is said as well; the source itself is never stale."""
    assert Receipt("rooms", "strong", None, 0, 0.012).staleness == "12 ms"
    assert Receipt("rooms", "eventual", None, 0, None).staleness.startswith("unknown")
    assert Receipt("rooms", "source", None, 0, 7.5).staleness == "nothing"
    assert duration(7.46) == "7.5 s"


def test_what_a_commit_has_come_to_survives_a_redirect() -> None:
    """As text in a cookie; anything else in it is nothing."""
    committed = Committed("synchronous", 0.0234)
    assert Committed.parse(str(committed)) == committed
    assert Committed.parse("") is Committed.parse("synchronous:soon") is None
