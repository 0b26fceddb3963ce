from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from opensearchpy import AsyncOpenSearch

from cdc_daemon.client import (
    AsyncReadModels,
    Policies,
    Policy,
    RefusedError,
    Session,
    StaleReadError,
    Token,
    TokenRefusedError,
    commit_async,
)
from cdc_daemon.embedded.ports import free_port
from tests.generators.running_daemon import until
from tests.integration.client.conftest import PATIENCE_SECONDS, of

if TYPE_CHECKING:
    from tests.integration.client.conftest import Shop

ROUNDS = 20
FOREIGN = Token("7412345678901234567/1", 0x1000)


def test_a_search_shows_the_commit_of_its_token(shop: Shop, guest: str) -> None:
    """Each time, by position and by document, though nobody else has the read model refreshed."""
    with shop.models() as models:
        for number in range(ROUNDS):
            token = shop.book(f"{guest} {number}")
            (booking,) = shop.from_source(f"{guest} {number}")
            one = {"id": str(booking)} if number % 2 else {}
            result = models.search("bookings", of(f"{guest} {number}"), token, **one)  # type: ignore[arg-type]  # id or nothing
            assert [document["id"] for document in result.documents] == [booking]
        assert result.outcome.searchable is not None


def test_asynchronous_code_reads_its_own_writes(shop: Shop, guest: str) -> None:
    """Many at once, each its own."""

    async def visitor(models: AsyncReadModels, name: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(shop.dsn) as connection:
            found = []
            for number in range(5):
                each = f"{name} {number}"
                await connection.execute("insert into booking (guest) values (%s)", [each])
                token = await commit_async(connection)
                found.append((await models.search("bookings", of(each), token)).documents)
            return found

    async def work() -> list[list[Any]]:
        opensearch = AsyncOpenSearch(shop.opensearch_url)
        async with AsyncReadModels(shop.url, opensearch) as models:
            found = await asyncio.gather(*(visitor(models, f"{guest} {n}") for n in range(8)))
        await opensearch.close()
        return found

    assert [[len(one) for one in each] for each in asyncio.run(work())] == [[1] * 5] * 8


@pytest.mark.parametrize("answers", [True, False], ids=["a daemon that is behind", "no daemon"])
def test_each_policy_does_on_a_timeout_what_it_says(shop: Shop, guest: str, answers: bool) -> None:  # noqa: FBT001 - a parameter
    """Whether the daemon says that it is behind, or says nothing at all."""
    session = Session()
    if answers:
        until(
            lambda: shop.daemon.status()["delay_seconds"]["searchable"] is not None,
            PATIENCE_SECONDS,
            "a sample",
        )
        with shop.stream_stopped():
            session.note(shop.book(guest))
            _read_by_each_policy(shop, session, guest, staleness_is_known=True)
    else:
        shop.daemon.signal(signal.SIGSTOP)
        session.note(shop.book(guest))
        _read_by_each_policy(shop, session, guest, staleness_is_known=False)
        shop.daemon.signal(signal.SIGCONT)
    with shop.models() as models:
        assert models.search("bookings", of(guest), session=session).documents


def _read_by_each_policy(
    shop: Shop, session: Session, guest: str, *, staleness_is_known: bool
) -> None:
    def read(on_timeout: Any) -> Any:
        policy = Policy(timeout_seconds=0.5, on_timeout=on_timeout)
        began = time.monotonic()
        try:
            return models.search(
                "bookings",
                of(guest),
                session=session,
                policy=policy,
                fallback=lambda: shop.from_source(guest),
            )
        finally:
            assert time.monotonic() - began < PATIENCE_SECONDS

    with shop.models() as models:
        source, stale = read("source"), read("stale")
        assert (source.from_source, len(source.answer)) == (True, 1)
        assert (stale.is_stale, stale.documents) == (True, [])
        assert (stale.outcome.staleness_seconds is not None) is staleness_is_known
        with pytest.raises(StaleReadError) as raised:
            read("error")
        assert raised.value.outcome.why


def test_a_frozen_daemon_holds_nobody_longer_than_the_timeout(shop: Shop, guest: str) -> None:
    """The connection is accepted and never answered."""
    token = shop.book(guest)
    shop.daemon.signal(signal.SIGSTOP)
    began = time.monotonic()
    with shop.models() as models:
        outcome = models.wait(token, "bookings", timeout=1.0)
    shop.daemon.signal(signal.SIGCONT)
    assert not outcome.reached
    assert "no answer" in outcome.why
    assert 1.0 <= outcome.waited_seconds <= time.monotonic() - began < PATIENCE_SECONDS


def test_another_daemon_answers_where_the_first_is_away(shop: Shop, guest: str) -> None:
    """A list of addresses, of which one refuses connections; and a mapping by projection."""
    nobody = f"http://127.0.0.1:{free_port()}"
    token = shop.book(guest)
    for daemons in ([nobody, shop.url], {"bookings": [nobody, shop.url], "others": nobody}):
        with shop.models(daemons) as models:
            assert len(models.search("bookings", of(guest), token).documents) == 1


def test_a_daemon_that_is_killed_and_started_again_answers_in_the_end(
    shop: Shop, guest: str
) -> None:
    """Whoever waits meanwhile notices only that it takes longer."""
    shop.daemon.kill()
    token = shop.book(guest)
    results: list[Any] = []

    def search() -> None:
        policy = Policy(timeout_seconds=PATIENCE_SECONDS)
        with shop.models() as models:
            results.append(models.search("bookings", of(guest), token, policy=policy))

    waiting = threading.Thread(target=search, daemon=True)
    waiting.start()
    shop.daemon.start()
    waiting.join(2 * PATIENCE_SECONDS)
    assert [len(result.documents) for result in results] == [1]


def test_a_session_lives_on_after_a_restore(shop: Shop, guest: str) -> None:
    """Tokens of a database that is gone, and of commits that are gone, are no error for ever."""
    token = shop.book(guest)
    assert token.epoch is not None
    lost = Token(token.epoch, token.lsn + 2**40)
    with shop.models() as models:
        for old, kept in ((FOREIGN, True), (lost, False)):
            with pytest.raises(TokenRefusedError):
                models.wait(old, "bookings")
            session = Session([old], {"bookings": old})
            assert models.search("bookings", of(guest), session=session).outcome.reached
            assert (old in session.tokens) is kept
            session.note(shop.book(f"{guest} again"))
            assert models.search("bookings", of(f"{guest} again"), session=session).documents
            assert session.seen["bookings"].epoch == token.epoch


def test_client_and_daemon_choose_the_same_policy(shop: Shop) -> None:
    """By the same rules: the daemon says which one it would have taken."""
    http_says, client_says = [], []
    with shop.models() as models:
        for function in (None, "my-bookings", "My-bookings", "search"):
            for user in (None, "guest", "staff", "x"):
                if function is None and user is None:
                    continue
                named = {"function": function, "user": user}
                asked: Any = {name: value for name, value in named.items() if value is not None}
                client_says.append(models.wait(**asked).policy)
                answer = models._http.get(f"{shop.url}/api/v1/wait", params=asked).json()
                http_says.append(answer["policy"])
    assert client_says == http_says
    assert set(client_says) == {"own", "hurried", "fresh", "eventual"}


def test_a_read_by_rules_falls_back_to_the_source(shop: Shop, guest: str) -> None:
    """The policy of the configuration decides, at no change of the application."""
    with shop.models() as models, shop.stream_stopped():
        token = shop.book(guest)
        result = models.search("bookings", of(guest), token, function="my-bookings", user="x")
        assert result.is_stale
        asked: Any = {"function": "my-bookings", "user": "guest", "timeout": 0.5}
        found = models.search("bookings", of(guest), token, fallback=lambda: [1], **asked)
        assert (found.from_source, found.outcome.policy) == (True, "own")
        assert models.search("bookings", of(guest), token, function="search").documents == []


def test_what_no_daemon_would_ever_answer_is_an_error(shop: Shop) -> None:
    """An unknown read model, a document without one, a timeout that is too long."""
    with shop.models() as models:
        for asked in ({"projection": "booking"}, {"id": "1"}, {"timeout": 1e6}):
            with pytest.raises(RefusedError):
                models.wait(Token(None, 1), **asked)


def test_policies_that_were_given_hold_without_a_daemon(shop: Shop, guest: str) -> None:
    """Eventual searches go on where none is running."""
    shop.book(guest)
    given = Policies({"own": Policy()}, default="eventual")
    with shop.models(f"http://127.0.0.1:{free_port()}", policies=given) as models:
        until(
            lambda: models.search("bookings", of(guest), user="x").outcome.reached,
            PATIENCE_SECONDS,
            "an eventual search",
        )
