"""The booking site of deploy/examples/hotel/app, as guests use it, in a real Chromium."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import httpx
import psycopg
import pytest

from cdc_daemon import embedded
from deploy.examples.showcase.stage import SETTINGS
from tests.generators.people import Visitor, chromium
from tests.generators.running_daemon import until
from tests.generators.web_application import WebApplication, running_application

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

ROWS = """
insert into city (name, country) values ('Lyon', 'FR');
insert into hotel (name, city_id, stars, status)
values ('Hotel Rose', 1, 3, 'open'), ('Pension Nord', 1, 2, 'open');
insert into room (hotel_id, number, beds, price)
select 1, 100 + n, 2, 80 from generate_series(1, 4) as n;
insert into room (hotel_id, number, beds, price) values (2, '1', 1, 50);
"""
ONLY_ROOM = 5
"""Of the pension."""
SELDOM = "1h"
"""Nothing is refreshed but what somebody waits for."""
STALE_SECONDS = 1.0
WAIT_SECONDS = 60.0
ANSWER = re.compile("My bookings|That is not possible")
WAITING = (
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock'"
)
BOOKED = "select guest from booking where room_id = {room}"


class Arrive(Protocol):
    """Opens a window of the browser for somebody, and signs them in."""

    def __call__(self, name: str, page: str = "/", node: int = 0) -> Visitor:
        """They are at `page` then."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all of these tests."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def site(
    request: pytest.FixtureRequest,
    browser: Browser,  # noqa: ARG001 - where there is none, nothing else need be started
    opensearch: embedded.OpenSearchServer,
) -> Iterator[WebApplication]:
    """The site with two hotels, one of which has a single room, on a PostgreSQL of its own."""
    version = request.config.getoption("--postgres")
    with (
        embedded.postgres(version=version, settings=SETTINGS, fsync=False, progress=_quiet) as own,
        running_application("hotel", ROWS, own.dsn, opensearch.url, SELDOM, strong=True) as running,
    ):
        yield running


@pytest.fixture
def arrive(site: WebApplication, browser: Browser, tmp_path: Path) -> Arrive:
    """Guests, each with cookies of their own."""

    def come(name: str, page: str = "/", node: int = 0) -> Visitor:
        visitor = Visitor(browser, site.nodes[node] + page, tmp_path)
        visitor.sign_in(name)
        return visitor

    return come


def test_a_guest_finds_their_booking_at_once_on_another_node(
    site: WebApplication, arrive: Arrive
) -> None:
    """Who books a room sees it under "my bookings", also where the next node answers."""
    ada = arrive("Ada")
    ada.page.get_by_label("Name or city").fill("rose lyon")
    ada.press("Search")
    ada.go("Hotel Rose, Lyon")
    ada.photograph("rooms")
    ada.press("Book room 101")
    assert ada.heading == "My bookings"
    ada.go("this page on the other node")
    assert ada.page.url == f"{site.nodes[1]}/bookings"
    assert "Hotel Rose, Lyon, room 101" in ada.shown
    assert ada.receipt("my bookings")["badge"] == "causal"
    assert ada.receipt("my bookings")["policy"] == "my-bookings"
    ada.photograph("bookings")


def test_without_the_policy_a_booking_is_missing_and_the_page_says_how_stale_it_is(
    arrive: Arrive,
) -> None:
    """With the switch off a stale page admits its age, and shows the booking once it is on."""
    bela = arrive("Bela", "/hotels/1")
    bela.press("Switch policies off")
    bela.press("Book room 102")
    assert bela.receipt("Your COMMIT")["badge"] == "asynchronous"
    until(
        lambda: bela.page.reload() and bela.staleness("my bookings") > STALE_SECONDS,
        WAIT_SECONDS,
        "the page says that it is stale",
    )
    assert bela.receipt("my bookings")["badge"] == "off"
    assert "None was found." in bela.shown
    bela.photograph("off")
    bela.press("Switch policies on")
    assert "Hotel Rose, Lyon, room 102" in bela.shown
    bela.photograph("on")


def test_a_room_is_taken_for_everybody_when_its_booking_has_returned(arrive: Arrive) -> None:
    """The COMMIT has waited, so a guest who knows of nothing sees it; cancelling doesn't wait."""
    page = "/hotels/1?arrival=2027-05-01&nights=2"
    chloe, dora = arrive("Chloé", page), arrive("Dora", page, node=1)
    chloe.press("Book room 104")
    assert chloe.receipt("Your COMMIT")["badge"] == "synchronous"
    dora.page.reload()
    assert dora.receipt("rooms")["badge"] == "strong"
    assert dora.page.get_by_role("row", name="104").get_by_text("taken").is_visible()
    dora.photograph("taken")
    chloe.press("Cancel room 104 from 2027-05-01")
    assert chloe.receipt("Your COMMIT")["badge"] == "asynchronous"
    assert "room 104" not in chloe.shown


def test_of_two_guests_who_want_the_last_room_one_gets_it(
    site: WebApplication, arrive: Arrive
) -> None:
    """Both see it as free, both press "Book", and the command store decides for one of them."""
    guests = [arrive(name, "/hotels/2", node) for node, name in enumerate(("Emil", "Farah"))]
    with psycopg.connect(site.dsn) as connection:
        connection.execute(f"select from room where id = {ONLY_ROOM} for update")
        for guest in guests:
            guest.page.get_by_role("button", name="Book room 1").click(no_wait_after=True)
        until(lambda: site.query(WAITING) == [(2,)], WAIT_SECONDS, "both want the room")
    for guest in guests:
        guest.page.get_by_role("heading", level=1, name=ANSWER).wait_for()
    headings = sorted(guest.heading for guest in guests)
    assert headings == ["My bookings", "That is not possible"]
    (loser,) = (guest for guest in guests if guest.heading == "That is not possible")
    assert "Somebody else has this room" in loser.shown
    assert len(site.query(BOOKED.format(room=ONLY_ROOM))) == 1


def test_what_a_page_shows_as_free_is_checked_by_the_booking_itself(
    site: WebApplication, arrive: Arrive
) -> None:
    """A page that was opened before somebody else has booked doesn't book the room twice."""
    goran = arrive("Goran", "/hotels/1?arrival=2027-03-01&nights=3")
    site.query(
        "insert into booking (room_id, guest, arrival, nights, price, status, channel)"
        " values (3, 'Hedy', '2027-03-02', 1, 80, 'held', 'phone')"
    )
    goran.press("Book room 103")
    assert "Somebody else has this room" in goran.shown
    goran.photograph("refused")
    goran.go("Back to where you were")
    assert goran.page.url.endswith("/hotels/1?arrival=2027-03-01&nights=3")
    assert site.query(BOOKED.format(room=3)) == [("Hedy",)]


@pytest.mark.parametrize(
    ("method", "path", "form", "status", "phrase"),
    [
        ("GET", "/hotels/999", {}, 404, "There is no such hotel."),
        ("GET", "/hotels/one", {}, 400, "A number was expected."),
        ("GET", "/?arrival=tomorrow", {}, 400, "Choose a day of arrival"),
        ("GET", "/?beds=many", {}, 400, "A number was expected."),
        ("POST", "/bookings", {"room": "1"}, 403, "Sign in first"),
        ("POST", "/bookings/1/cancel", {}, 403, "Sign in first"),
        ("POST", "/sign-in", {"name": " "}, 400, "Say a name"),
        ("POST", "/sign-in", {"name": "x" * 61}, 400, "Say a name"),
    ],
)
def test_what_is_not_possible_is_said_on_a_page(
    site: WebApplication, method: str, path: str, form: dict[str, str], status: int, phrase: str
) -> None:
    """Whatever a browser sends, there is a status, a sentence for the person, and no traceback."""
    answer = httpx.request(method, site.nodes[0] + path, data=form)
    assert answer.status_code == status
    assert phrase in answer.text


@pytest.mark.parametrize("back", ["//elsewhere.example", "/\\elsewhere.example", "https://x/", ""])
def test_nobody_is_sent_to_another_site(site: WebApplication, back: str) -> None:
    """Where a form wants to go back to is on this node, or the first page."""
    form = {"name": "Ada", "back": back}
    answer = httpx.post(f"{site.nodes[0]}/sign-in", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_bookings_are_found_while_the_daemon_is_away(site: WebApplication, arrive: Arrive) -> None:
    """The policy says `on_timeout: source`: PostgreSQL answers, and the page says so."""
    ilse = arrive("Ilse", "/hotels/1?arrival=2027-07-01&nights=2")
    ilse.press("Switch policies off")
    site.daemon.pause()
    try:
        ilse.press("Book room 101")
        ilse.press("Switch policies on")
        assert "room 101" in ilse.shown
        assert ilse.receipt("my bookings")["badge"] == "source"
        ilse.photograph("source")
    finally:
        site.daemon.resume()


def _quiet(_: str) -> None:
    """Nobody waits for this server alone."""
