from __future__ import annotations

import pytest

from cdc_daemon.client import Policies, Policy, Rule, UnknownPolicyError

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


def test_an_unknown_policy_says_which_there_are() -> None:
    """A typing mistake is found by the message."""
    with pytest.raises(UnknownPolicyError, match="there are: eventual, own"):
        POLICIES.named("onw")
