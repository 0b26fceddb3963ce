"""A read under a strong policy counts as reached only while commits wait for what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.client import Policies, Policy, ReadModels
from tests.generators.running_daemon import until
from tests.generators.waits import Asker, Waited
from tests.integration.strong.conftest import ITEMS, PATIENCE_SECONDS, enable, run_strong

if TYPE_CHECKING:
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

BOTH: dict[str, Any] = {**ITEMS, "later": ITEMS["items"]}
CONSISTENCY: dict[str, Any] = {
    "strong": {"exclude": ["later"]},
    "policies": {
        "rooms": {"strategy": "strong", "on_timeout": "source"},
        "seen": {"strategy": "strong", "max_staleness": "1h", "on_timeout": "source"},
    },
}


@pytest.fixture
def daemon(item: object, start_daemon: StartDaemon) -> RunningDaemon:  # noqa: ARG001 - its table
    """One that commits can wait for, once somebody lets them."""
    daemon = start_daemon(BOTH, consistency=CONSISTENCY)
    daemon.wait_until("streaming")
    daemon.catch_up()
    return daemon


def answered(asker: Asker, status: int, policy: str = "rooms", **asked: str) -> Waited:
    """The answer, once it has this status: the daemon looks once a second whether commits wait."""

    def ask() -> Waited | None:
        waited = asker.ask(policy=policy, **asked)
        return waited if waited.status == status else None

    waited: Waited = until(ask, PATIENCE_SECONDS, f"a read under {policy} is answered {status}")
    return waited


def test_it_is_not_reached_while_no_commit_waits(daemon: RunningDaemon) -> None:
    """As on a timeout, with why, and what the policy says to do; counted so, too."""
    asker = Asker(daemon.file)
    refused = asker.ask(policy="rooms", projection="items")
    assert (refused.status, refused.body["reached"]) == (504, False)
    assert (refused.body["strategy"], refused.body["on_timeout"]) == ("strong", "source")
    assert "strong enable" in refused.body["why"]
    assert asker.ask(policy="rooms").status == 504
    assert daemon.metrics()['cdc_wait_seconds_count{outcome="timeout",policy="rooms"}'] == 2

    enable(daemon)
    reached = answered(asker, 200, projection="items").body
    assert (reached["reached"], "why" in reached) == (True, False)
    assert answered(asker, 200).body["reached"]
    excluded = asker.ask(policy="rooms", projection="later")
    assert excluded.status == 504
    assert "consistency.strong.exclude" in excluded.body["why"]

    assert run_strong(daemon, "disable").returncode == 0
    ended = answered(asker, 504, projection="items")
    assert "strong enable" in ended.body["why"]


def test_its_tokens_must_be_some(daemon: RunningDaemon) -> None:
    """They aren't waited for, and still nobody is told that a mistake was reached."""
    enable(daemon)
    asker = Asker(daemon.file)
    assert answered(asker, 200).body["reached"]
    assert asker.ask("0/1", policy="rooms").status == 200
    assert asker.ask("soon", policy="rooms").status == 400
    assert asker.ask("1/1:0/1", policy="rooms").status == 409


def test_a_client_that_asks_is_told(daemon: RunningDaemon) -> None:
    """`wait()` always asks, and so does a search under a `max_staleness`."""
    with ReadModels(daemon.url) as models:
        outcome = models.wait(projection="items", policy="rooms")
        assert (outcome.reached, outcome.on_timeout) == (False, "source")
        assert "strong enable" in outcome.why
        answer = models.search("items", {}, policy="seen", fallback=lambda: [1])
        assert answer.from_source
        enable(daemon)
        until(
            lambda: models.wait(projection="items", policy="rooms").reached,
            PATIENCE_SECONDS,
            "it is reached while commits wait",
        )


def test_a_policy_of_the_clients_own_is_told_the_same(daemon: RunningDaemon) -> None:
    """As an object or by a name that only the client knows."""
    own = Policy("strong", on_timeout="stale")
    with (
        ReadModels(daemon.url) as models,
        ReadModels(daemon.url, policies=Policies({"mine": own})) as others,
    ):
        outcome = models.wait(projection="items", policy=own)
        assert (outcome.reached, outcome.strategy, outcome.on_timeout) == (False, "strong", "stale")
        assert "strong enable" in outcome.why
        assert not others.wait(projection="items", policy="mine").reached
        enable(daemon)
        until(
            lambda: models.wait(projection="items", policy=own).reached,
            PATIENCE_SECONDS,
            "it is reached while commits wait",
        )
