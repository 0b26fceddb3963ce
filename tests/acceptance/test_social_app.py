"""The social network of deploy/examples/social/app, as people use it, in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from deploy.examples.social.app.influence import INFLUENCER_FOLLOWERS
from tests.conftest import fresh_database
from tests.generators.people import Visitor, chromium
from tests.generators.web_application import WebApplication, running_application

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from cdc_daemon import embedded

ROWS = f"""
insert into account (handle, name) values ('star', 'A Star'), ('friend', 'A Friend');
insert into account (handle, name)
select 'fan_' || n, 'Fan ' || n from generate_series(1, {INFLUENCER_FOLLOWERS}) as n;
insert into follow (follower_id, followed_id) select id, 1 from account where id > 2;
"""
FRESHNESS = "3s"
"""Longer than a person's next click, and shorter than a test waits."""


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
def network(
    browser: Browser,  # noqa: ARG001 - where there is none, nothing else need be started
    postgres_server: embedded.PostgresServer,
    opensearch: embedded.OpenSearchServer,
) -> Iterator[WebApplication]:
    """The network with an influencer, somebody who isn't one, and many followers."""
    with (
        fresh_database(postgres_server) as database,
        running_application("social", ROWS, database.dsn, opensearch.url, FRESHNESS) as running,
    ):
        yield running


@pytest.fixture
def arrive(network: WebApplication, browser: Browser, tmp_path: Path) -> Arrive:
    """People, each with cookies of their own."""

    def come(name: str, page: str = "/", node: int = 0) -> Visitor:
        visitor = Visitor(browser, network.nodes[node] + page, tmp_path)
        visitor.sign_in(name)
        return visitor

    return come


def test_an_author_sees_their_post_at_once_on_any_node(
    network: WebApplication, arrive: Arrive
) -> None:
    """Who posts sees it among their own posts, also where the next node answers."""
    author = arrive("friend")
    author.post("Heard a <b>heron</b> in Riga")
    assert author.heading == "@friend"
    assert "Heard a <b>heron</b> in Riga" in author.shown
    author.go("this page on the other node")
    assert author.page.url == f"{network.nodes[1]}/people/friend"
    assert "Heard a <b>heron</b> in Riga" in author.shown
    assert author.receipt("own posts")["policy"] == "own-posts"
    author.photograph("own-posts")


def test_followers_see_a_post_without_waiting_for_it(arrive: Arrive) -> None:
    """A timeline is eventual: it says how stale it may be, and shows the post soon after."""
    author, reader = arrive("friend"), arrive("newcomer", "/people/friend")
    reader.press("Follow")
    author.post("Saw a gambit in Graz")
    reader.sees("Saw a gambit in Graz")
    assert reader.receipt("timeline")["badge"] in {"eventual", "source"}
    assert reader.staleness("timeline") >= 0
    reader.photograph("timeline")


def test_followers_of_an_influencer_have_a_policy_of_their_own(arrive: Arrive) -> None:
    """The user class changes with whom somebody follows, and with it the rule that fits."""
    ordinary = arrive("somebody", "/people/star")
    ordinary.go("Timeline")
    assert ordinary.receipt("timeline")["policy"] == "friends"
    ordinary.go("People")
    ordinary.sees("@star")
    ordinary.go("@star")
    ordinary.press("Follow")
    assert ordinary.receipt("timeline")["policy"] == "crowd"
    assert "user class fan" in ordinary.shown
    ordinary.photograph("fan")
    assert arrive("fan_1").receipt("timeline")["policy"] == "crowd"


def test_trends_are_counted_when_somebody_asks(arrive: Arrive) -> None:
    """A tag that is posted is in the trends once its post can be found."""
    author = arrive("fan_2")
    author.post("A #nightjar! And another #Nightjar")
    author.post("No #nightjar today")
    author.go("Trends")
    author.sees("#nightjar\t2")
    author.photograph("trends")
