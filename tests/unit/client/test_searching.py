from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from cdc_daemon.client import ClientError, Policies, Policy, Rule, Session, StaleReadError, Token
from cdc_daemon.client.daemons import POLICIES_LIFETIME_SECONDS, Pipelines
from cdc_daemon.client.searching import Read, Reader
from cdc_daemon.client.steps import Answer, Query
from tests.generators.client_world import EPOCH, FOUND, World, not_reached, reached, refused

if TYPE_CHECKING:
    from cdc_daemon.client.searching import Asked

TOKEN = Token(EPOCH, 0x400)
QUERY = Query("hotels", {}, {})
TOLD = Answer(
    200,
    {
        "epoch": EPOCH,
        "default": "eventual",
        "policies": {
            name: {
                "strategy": strategy,
                "timeout_seconds": 1.0,
                "on_timeout": on_timeout,
                "max_staleness_seconds": None,
            }
            for name, strategy, on_timeout in (
                ("eventual", "eventual", "stale"),
                ("own", "causal", "source"),
                ("strong", "strong", "error"),
            )
        },
        "rules": [{"function": "my-*", "user": None, "policy": "own"}],
    },
)


def search(world: World, reader: Reader | None = None, fallback: Any = None, **asked: Any) -> Any:
    """One search."""
    reader = reader or reader_of(world)
    read = Read.of(asked.pop("token", None), "hotels", cast("Asked", asked))
    return world.run(reader.search(read, QUERY, fallback))


def reader_of(world: World, policies: Policies | None = None) -> Reader:
    """A client of one daemon."""
    return Reader(Pipelines("http://a", policies), world.clock)


def test_a_search_waits_for_its_token() -> None:
    """Without a policy it is causal; the read model answers."""
    world = World(reached())
    result = search(world, token=str(TOKEN))
    assert (result.answer, result.from_source, result.is_stale) == (FOUND, False, False)
    assert result.documents == [{"id": 1}]
    assert world.tokens() == [[str(TOKEN)]]


def test_a_search_with_nothing_to_wait_for_asks_no_daemon() -> None:
    """Neither without a token, nor where the policy is eventual or strong."""
    world = World(refused(0))
    for policy in (None, Policy("eventual"), Policy("strong")):
        asked: dict[str, Any] = {} if policy is None else {"policy": policy, "token": TOKEN}
        assert search(world, **asked).outcome.reached
    assert (world.asked, len(world.searched)) == ([], 3)


@pytest.mark.parametrize(
    ("on_timeout", "expected"),
    [("source", ("theirs", True, False)), ("stale", (FOUND, False, True))],
)
def test_what_is_not_reached_in_time_is_what_the_policy_says(
    on_timeout: Any, expected: tuple[object, bool, bool]
) -> None:
    """The fallback's answer, or the read model's with its staleness."""
    world = World(not_reached())
    policy = Policy(on_timeout=on_timeout)
    result = search(world, token=TOKEN, policy=policy, fallback=lambda: "theirs")
    assert (result.answer, result.from_source, result.is_stale) == expected
    assert result.outcome.staleness_seconds == 0.1


@pytest.mark.parametrize("on_timeout", ["error", "source"])
def test_a_stale_read_is_an_error_where_nothing_else_is_said(on_timeout: Any) -> None:
    """By policy, and where the source is asked for and there is no fallback."""
    with pytest.raises(StaleReadError, match="not refreshed yet") as raised:
        search(World(not_reached()), token=TOKEN, policy=Policy(on_timeout=on_timeout))
    assert raised.value.outcome.staleness_seconds == 0.1


def test_a_fallback_is_used_where_no_policy_is_named() -> None:
    """Whoever gives one wants it."""
    assert search(World(not_reached()), token=TOKEN, fallback=lambda: 1).answer == 1


def test_rules_of_the_daemon_choose_the_policy() -> None:
    """They are asked for once in a lifetime, and the daemon counts by the name."""
    world = World(reached(), policies=TOLD)
    reader = reader_of(world)
    assert search(world, reader, token=TOKEN, function="my-posts").outcome.policy == "own"
    assert search(world, reader, token=TOKEN, function="trends").outcome.policy == "eventual"
    assert [ask.url.rpartition("/")[2] for ask in world.asked] == ["policies", "wait"]
    assert dict(world.asked[1].parameters)["policy"] == "own"
    world.seconds += POLICIES_LIFETIME_SECONDS
    search(world, reader, token=TOKEN, policy="strong")
    assert world.asked[-1].url.endswith("policies")


def test_policies_that_were_given_need_no_daemon() -> None:
    """It isn't asked for any, and isn't told a name that it may not know."""
    given = Policies({"mine": Policy()}, (Rule("mine"),))
    world = World(reached())
    reader = reader_of(world, given)
    assert search(world, reader, token=TOKEN, user="x").outcome.policy is None
    assert "policy" not in dict(world.asked[0].parameters)
    assert len(world.asked) == 1


def test_policies_stay_in_force_while_no_daemon_tells_them() -> None:
    """An old one is better than none, and no search waits long for a new one."""
    world = World(reached(), policies=TOLD)
    reader = reader_of(world)
    search(world, reader, token=TOKEN, function="my-posts")
    world._policies = refused(0)
    world.seconds += POLICIES_LIFETIME_SECONDS
    began = world.seconds
    assert search(world, reader, token=TOKEN, function="my-posts").outcome.policy == "own"
    assert world.seconds - began < 0.5


def test_a_policy_that_nobody_has_told_is_not_guessed() -> None:
    """The fallback answers, or there is an error that says what to do."""
    world = World(reached())
    assert search(world, function="my-posts", fallback=lambda: "theirs").from_source
    with pytest.raises(StaleReadError, match="Give ReadModels `policies`"):
        search(world, function="my-posts")
    assert search(world, policy="eventual").answer == FOUND


def test_a_policy_and_a_rule_are_not_both_meant() -> None:
    """A call that says both is a mistake."""
    with pytest.raises(ClientError, match="not both"):
        search(World(reached()), policy="own", function="my-posts")


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    """What no clock can measure is refused before anybody is asked."""
    with pytest.raises(ClientError, match="0 or more"):
        search(World(reached()), token=TOKEN, timeout=timeout)


def test_a_search_of_a_session_learns_what_it_has_seen() -> None:
    """Also one that has written nothing: its next read may not show less."""
    session = Session()
    search(World(reached("0/700")), session=session)
    assert session.seen == {"hotels": Token(EPOCH, 0x700)}


@pytest.mark.parametrize("daemons", ["", [], "127.0.0.1:9645", ["http://a", "b"], {"hotels": "x"}])
def test_an_address_that_is_none_is_refused(daemons: Any) -> None:
    """When the client is made, not when the first read has waited in vain."""
    with pytest.raises(ClientError, match="such as http"):
        Pipelines(daemons, None)


def test_each_projection_has_its_daemons() -> None:
    """A read model of another pipeline is waited for there; an unknown one says which are known."""
    world = World(reached())
    reader = Reader(Pipelines({"hotels": "http://a", "posts": URLS}, None), world.clock)
    world.run(reader.wait(Read.of(TOKEN, "posts", {})))
    assert world.asked[0].url.startswith("http://b")
    with pytest.raises(ClientError, match="named are: hotels, posts"):
        world.run(reader.wait(Read.of(TOKEN, "rooms", {})))


URLS = ["http://b", "http://c"]
