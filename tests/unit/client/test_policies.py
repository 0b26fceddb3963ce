from __future__ import annotations

from typing import Any

import pytest

from cdc_daemon.client import ClientError, Policies, Policy, Rule, UnknownPolicyError

OWN = Policy("causal", 2.0, "source", 30.0)
POLICIES = Policies(
    {"own": OWN, "eventual": Policy("eventual")},
    (Rule("own", "timeline*", "influencer"), Rule("own", user="staff"), Rule("eventual", "time*")),
)


@pytest.mark.parametrize(
    ("function", "user", "expected"),
    [
        ("timeline", "influencer", "own"),
        ("timeline-of", "influencer", "own"),
        ("timeline", "ordinary", "eventual"),
        ("search", "staff", "own"),
        ("timeline", None, "eventual"),
        ("Timeline", "influencer", None),
        (None, "influencer", None),
        (None, None, None),
    ],
)
def test_the_first_rule_that_fits_names_the_policy(
    function: str | None, user: str | None, expected: str | None
) -> None:
    """Both patterns must fit; what isn't given fits no pattern; without a rule it's eventual."""
    policy, name = POLICIES.chosen(function, user)
    assert name == expected
    assert policy == (POLICIES.named(expected) if expected else Policy("eventual"))


def test_what_a_daemon_tells_is_understood() -> None:
    """The answer of /api/v1/policies becomes the same policies, known to the daemon by name."""
    told = {
        "epoch": "7/1",
        "default": "own",
        "policies": {
            "own": {
                "strategy": "causal",
                "timeout_seconds": 2.0,
                "on_timeout": "source",
                "max_staleness_seconds": 30.0,
            }
        },
        "rules": [{"function": "t*", "user": None, "policy": "own"}],
    }
    policies = Policies.parse(told)
    assert policies == Policies({"own": OWN}, (Rule("own", "t*"),), "own")
    assert policies.chosen("other", None) == (OWN, "own")
    assert (policies.told_name("own"), POLICIES.told_name("own")) == ("own", None)


def test_eventual_is_there_where_nobody_has_configured_it() -> None:
    """As in every daemon."""
    assert Policies({}).named("eventual") == Policy("eventual")


@pytest.mark.parametrize("words", [{"strategy": "casual"}, {"on_timeout": "fallback"}])
def test_a_mistyped_word_of_a_policy_is_refused(words: dict[str, Any]) -> None:
    """A read that was to wait would not, and nobody would notice."""
    with pytest.raises(ClientError, match="is one of"):
        Policy(**words)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_policy_has_a_time_that_clocks_know(seconds: float) -> None:
    """Anything else would be no bound."""
    for what in ("timeout_seconds", "max_staleness_seconds"):
        with pytest.raises(ClientError, match="0 or more"):
            Policy(**{what: seconds})  # type: ignore[arg-type]  # a mistake on purpose


@pytest.mark.parametrize("wrong", [{"rules": (Rule("onw"),)}, {"default": "onw"}])
def test_a_rule_without_its_policy_is_found_at_once(wrong: dict[str, Any]) -> None:
    """Not by the first user whom it fits."""
    with pytest.raises(UnknownPolicyError, match="'onw'"):
        Policies({"own": OWN}, **wrong)


def test_an_unknown_policy_says_which_there_are() -> None:
    """A typing mistake is found by the message."""
    with pytest.raises(UnknownPolicyError, match="there are: eventual, own"):
        POLICIES.named("onw")
