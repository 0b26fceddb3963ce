from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.client import Outcome, Policy, RefusedError, Session, Token, TokenRefusedError
from cdc_daemon.client.daemons import Daemons
from cdc_daemon.client.steps import Answer
from cdc_daemon.client.waiting import Waiting, Wish
from tests.generators.client_world import EPOCH, SYSTEM, World, not_reached, reached, refused

if TYPE_CHECKING:
    from cdc_daemon.client.steps import Steps

TOKEN = Token(EPOCH, 0x400)
FOREIGN = Token("8/1", 0x900)
URLS = ("http://a", "http://b")


def waiting(
    world: World, daemons: Daemons, session: Session | None = None, **wish: Any
) -> Steps[Outcome]:
    """One wait, of 2 s."""
    given: dict[str, Any] = {"policy": Policy(timeout_seconds=2), "projection": "hotels", **wish}
    return Waiting(daemons, Wish(**given), session, world.clock, world.clock()).steps()


def test_a_daemon_is_asked_for_what_is_wished() -> None:
    """Token, read model, document, policy, and a little less time than there is."""
    world = World(reached())
    outcome = world.run(
        waiting(world, Daemons("http://a/"), token=TOKEN, id="7", policy_name="own")
    )
    assert outcome.reached
    assert (outcome.searchable, outcome.staleness_seconds) == (Token(EPOCH, 0x500), 0.1)
    assert world.asked[0].url == "http://a/api/v1/wait"
    assert dict(world.asked[0].parameters) == {
        "token": str(TOKEN),
        "projection": "hotels",
        "id": "7",
        "policy": "own",
        "timeout": "1.900",
    }
    assert world.asked[0].within_seconds == 2.0


@pytest.mark.parametrize("strategy", ["eventual", "strong"])
def test_a_policy_of_ones_own_is_told_by_its_strategy(strategy: Any) -> None:
    """Only the daemon knows whether commits wait; its own policies are told by their names."""
    world = World(not_reached("commits don't wait for the daemon"))
    outcome = world.run(waiting(world, Daemons("http://a"), policy=Policy(strategy)))
    assert (outcome.reached, outcome.why) == (False, "commits don't wait for the daemon")
    assert dict(world.asked[0].parameters)["strategy"] == strategy
    world.run(waiting(world, Daemons("http://a"), policy=Policy(strategy), policy_name="mine"))
    assert "strategy" not in dict(world.asked[1].parameters)


@pytest.mark.parametrize("status", [200, 504])
def test_an_answer_of_somebody_else_is_none(status: int) -> None:
    """Gateways answer in JSON, too: another daemon is asked, and in the end it is said."""
    foreign = Answer(status, {"message": "The upstream server is timing out"})
    world = World(foreign, reached())
    assert world.run(waiting(world, Daemons(URLS), token=TOKEN)).reached
    assert [ask.url[:8] for ask in world.asked] == ["http://a", "http://b"]
    outcome = (world := World(foreign)).run(waiting(world, Daemons("http://a"), token=TOKEN))
    assert (outcome.reached, outcome.why) == (
        False,
        f"what answers at http://a is no daemon: HTTP {status}",
    )


def test_a_timeout_says_why() -> None:
    """The daemon's reason is the outcome's."""
    world = World(not_reached("the sink does not answer"))
    outcome = world.run(waiting(world, Daemons("http://a"), token=TOKEN))
    assert (outcome.reached, outcome.why) == (False, "the sink does not answer")


@pytest.mark.parametrize("status", [0, 429, 502, 503])
def test_the_next_daemon_is_asked_where_one_cannot_answer(status: int) -> None:
    """Nobody there, too many waiters, starting: another one may answer, and is the first then."""
    world = World(refused(status), reached())
    daemons = Daemons(URLS)
    assert world.run(waiting(world, daemons, token=TOKEN)).reached
    assert [ask.url[:8] for ask in world.asked] == ["http://a", "http://b"]
    assert daemons.in_order() == ["http://b", "http://a"]


@pytest.mark.parametrize("takes", [0.0, 0.7, 5.0])
def test_no_wait_takes_longer_than_its_timeout(takes: float) -> None:
    """However many daemons there are, and however they fail."""
    world = World(refused(0, "connection refused"))
    world.takes = takes
    outcome = world.run(waiting(world, Daemons(URLS), token=TOKEN))
    assert (outcome.reached, outcome.why) == (False, "connection refused")
    assert 1.8 <= world.seconds - 1000 <= 2.0
    assert sum(ask.within_seconds <= 0 for ask in world.asked) == 0


def test_a_timeout_of_nothing_asks_once() -> None:
    """It has a moment to be answered, and the daemon none to wait."""
    world = World(refused(503))
    world.takes = 1.0
    assert not world.run(waiting(world, Daemons(URLS), token=TOKEN, timeout_seconds=0.0)).reached
    assert len(world.asked) == 1
    assert dict(world.asked[0].parameters)["timeout"] == "0.000"


@pytest.mark.parametrize("status", [400, 404])
def test_a_wrong_question_is_an_error(status: int) -> None:
    """An unknown read model stays unknown: no other daemon is asked."""
    world = World(refused(status, "no such projection"))
    with pytest.raises(RefusedError, match="no such projection") as raised:
        world.run(waiting(world, Daemons(URLS), token=TOKEN))
    assert raised.value.status == status
    assert len(world.asked) == 1


@pytest.mark.parametrize("status", [409, 422])
def test_a_given_token_that_is_refused_is_an_error(status: int) -> None:
    """Whoever gives one by hand is told."""
    world = World(refused(status, "of another system", epoch="8/1"))
    with pytest.raises(TokenRefusedError, match="of another system"):
        world.run(waiting(world, Daemons("http://a"), token=TOKEN))


def test_a_session_waits_on_after_a_failover_that_may_have_lost_its_commit() -> None:
    """The daemon may not know whether it was lost: if it wasn't, it is found at that position."""
    session = Session([TOKEN, FOREIGN], {"rooms": TOKEN})
    daemons = Daemons("http://a")
    daemons.epoch = EPOCH
    later = f"{SYSTEM}/2"
    world = World(refused(409, "may be lost", epoch=later), reached("0/500", epoch=later))
    assert world.run(waiting(world, daemons, session)).reached
    carried = Token(later, TOKEN.lsn)
    assert world.tokens() == [[str(TOKEN)], [str(carried)]]
    assert set(session.tokens) == {FOREIGN, carried}
    assert session.seen == {"rooms": carried, "hotels": Token(later, 0x500)}
    world.run(waiting(world, daemons, session, projection="rooms"))
    assert world.tokens()[2] == [str(carried), str(carried)]


def test_a_session_forgets_what_a_failover_has_lost() -> None:
    """The log of the new timeline ends before it: nobody can wait for that."""
    session = Session([TOKEN])
    later = f"{SYSTEM}/2"
    world = World(
        refused(409, "may be lost", epoch=later),
        refused(422, "beyond the end", epoch=later),
        reached("0/100", epoch=later),
    )
    assert world.run(waiting(world, Daemons("http://a"), session)).reached
    assert world.tokens() == [[str(TOKEN)], [str(Token(later, TOKEN.lsn))], []]
    assert session.tokens == ()


def test_a_session_begins_anew_after_a_restore() -> None:
    """What was lost can't be waited for by anybody, so it isn't an error for ever."""
    session = Session([TOKEN, FOREIGN], {"hotels": TOKEN})
    daemons = Daemons("http://a")
    daemons.epoch = EPOCH
    world = World(refused(422, "lost", epoch=EPOCH), reached("0/100"))
    assert world.run(waiting(world, daemons, session)).reached
    assert world.tokens() == [[str(TOKEN), str(TOKEN)], []]
    assert session.tokens == (FOREIGN,)
    assert session.seen == {"hotels": Token(EPOCH, 0x100)}


def test_a_bad_token_does_not_cost_the_session_its_own() -> None:
    """What was given by hand is asked for alone, before the session is blamed."""
    session = Session([TOKEN])
    world = World(refused(422, "beyond the end", epoch=EPOCH))
    with pytest.raises(TokenRefusedError, match="beyond the end"):
        world.run(waiting(world, Daemons("http://a"), session, token=Token(EPOCH, 2**50)))
    assert world.tokens() == [[str(Token(EPOCH, 2**50)), str(TOKEN)], [str(Token(EPOCH, 2**50))]]
    assert session.tokens == (TOKEN,)


def test_a_good_token_is_waited_for_though_the_session_lost_its_own() -> None:
    """Asked for alone it is accepted, so the session is to blame."""
    lost = Token(EPOCH, 2**50)
    session = Session([lost])
    world = World(refused(422, "beyond the end", epoch=EPOCH), reached())
    assert world.run(waiting(world, Daemons("http://a"), session, token=TOKEN)).reached
    assert world.tokens() == [[str(TOKEN), str(lost)], [str(TOKEN)], [str(TOKEN)]]
    assert session.tokens == ()


def test_without_a_timeout_of_ones_own_the_daemons_holds() -> None:
    """Which may be less than ours: a daemon refuses what is above its maximum."""
    world = World(reached())
    world.run(waiting(world, Daemons("http://a"), policy=Policy()))
    assert "timeout" not in dict(world.asked[0].parameters)
    assert world.asked[0].within_seconds == 10.0


def test_a_session_keeps_what_it_knows_of_another_database() -> None:
    """The daemon's answer tells which of its tokens are meant; the others stay."""
    session = Session([TOKEN, FOREIGN])
    world = World(refused(409, epoch=EPOCH), reached())
    daemons = Daemons("http://a")
    assert world.run(waiting(world, daemons, session)).reached
    assert world.tokens() == [[str(FOREIGN)], [str(TOKEN)]]
    assert session.tokens == (TOKEN, FOREIGN)
    world.run(waiting(world, daemons, session))
    assert world.tokens()[2] == [str(Token(EPOCH, 0x500)), str(TOKEN)]


def test_a_session_of_another_database_only_waits_for_nothing() -> None:
    """It has written nothing here."""
    session = Session([FOREIGN])
    world = World(refused(409, epoch=EPOCH), reached())
    assert world.run(waiting(world, Daemons("http://a"), session)).reached
    assert world.tokens() == [[str(FOREIGN)], []]
    assert session.tokens == (FOREIGN,)


def test_a_daemon_that_has_yet_to_follow_a_failover_is_asked_again() -> None:
    """The token is of the new primary: nothing is lost, it only takes a moment."""
    session = Session([Token(f"{SYSTEM}/2", 0x400)])
    world = World(
        refused(409, epoch=EPOCH), refused(409, epoch=EPOCH), reached(epoch=f"{SYSTEM}/2")
    )
    assert world.run(waiting(world, Daemons("http://a"), session)).reached
    assert len(world.asked) == 3
    assert len(session.tokens) == 1


def test_a_failover_that_takes_too_long_is_a_timeout() -> None:
    """Not an error of the token, which is good."""
    world = World(refused(409, "on timeline 1", epoch=EPOCH))
    outcome = world.run(waiting(world, Daemons("http://a"), token=Token(f"{SYSTEM}/2", 0x400)))
    assert (outcome.reached, outcome.why) == (False, "on timeline 1")
    assert world.seconds - 1000 <= 2.0


def test_many_rounds_become_fewer() -> None:
    """A daemon that comes back isn't met by all its clients ten times a second each."""
    world = World(refused(503))
    policy = Policy(timeout_seconds=30)
    assert not world.run(waiting(world, Daemons("http://a"), policy=policy)).reached
    assert 30 <= len(world.asked) <= 40


def test_what_is_too_stale_is_not_reached() -> None:
    """A policy of the client's own is applied by the client."""
    world = World(reached(staleness=3.5))
    policy = Policy("eventual", max_staleness_seconds=3)
    outcome = world.run(waiting(world, Daemons("http://a"), policy=policy, token=TOKEN))
    assert not outcome.reached
    assert "3.5 s behind" in outcome.why
    assert world.tokens() == [[]]


def test_where_nobody_knows_what_searches_show_nothing_was_seen() -> None:
    """Rows are being loaded: an eventual read is answered all the same."""
    session = Session()
    told = reached()
    world = World(told._replace(body={**told.body, "searchable": None}))
    outcome = world.run(waiting(world, Daemons("http://a"), session, policy=Policy("eventual")))
    assert (outcome.reached, outcome.searchable, session.seen) == (True, None, {})


def test_a_later_read_waits_for_what_an_earlier_one_has_seen() -> None:
    """Reads of one session are monotonic, whichever daemon is asked."""
    session = Session()
    world = World(reached("0/700"))
    for _ in range(2):
        world.run(waiting(world, Daemons("http://a"), session))
    assert world.tokens() == [[], [str(Token(EPOCH, 0x700))]]
