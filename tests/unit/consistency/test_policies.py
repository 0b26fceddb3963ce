"""Policies and rules: which one holds, and what it means."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cdc_daemon.config.consistency import ConsistencyConfig
from cdc_daemon.consistency.policies import Policies

POLICIES = {"own": {"strategy": "causal", "timeout": "2s"}, "fast": {"strategy": "causal"}}
RULES = [
    {"function": "timeline*", "user": "influencer", "policy": "fast"},
    {"function": "my-*", "policy": "own"},
    {"user": "admin", "policy": "own"},
]


def policies(**settings: object) -> Policies:
    """Of a section."""
    return Policies(ConsistencyConfig.model_validate(settings))


@pytest.mark.parametrize(
    ("function", "user", "name"),
    [
        ("timeline", "influencer", "fast"),
        ("timeline-of-friends", "influencer", "fast"),
        ("timeline", "guest", "eventual"),
        ("timeline", None, "eventual"),
        ("my-posts", "influencer", "own"),
        ("my-posts", None, "own"),
        ("My-posts", None, "eventual"),
        ("trends", "admin", "own"),
        (None, "admin", "own"),
        ("trends", "guest", "eventual"),
    ],
)
def test_the_first_rule_that_fits_says_which_policy_holds(
    function: str | None, user: str | None, name: str
) -> None:
    """Without one the default; and a pattern doesn't fit what isn't given."""
    assert policies(policies=POLICIES, rules=RULES).chosen(function, user).name == name


def test_what_is_not_said_has_a_default() -> None:
    """A request that names no policy waits; one policy is always there, unless it is another."""
    made = policies(policies=POLICIES, default="own", max_timeout="5s")
    assert made.chosen(None, None).name == "own"
    assert made.unnamed[:3] == ("", "causal", 5.0)
    assert made.named("fast") == ("fast", "causal", 5.0, "error", None)
    assert made.named("own") == ("own", "causal", 2.0, "error", None)
    assert made.named("eventual") == ("eventual", "eventual", 5.0, "error", None)
    assert made.named("other") is None
    other = policies(policies={"eventual": {"strategy": "strong"}}, strong={})
    assert other.chosen(None, None).strategy == "strong"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"default": "owm", "policies": POLICIES}, 'did you mean "own"'),
        ({"rules": [{"policy": "own"}]}, "there is no policy"),
        ({"policies": {"own": {"strategy": "causal", "timeout": "2m"}}}, "which is 1m"),
        ({"policies": {"own": {"strategy": "weak"}}}, "eventual"),
        ({"policies": {"own": {}}}, "strategy"),
        ({"policies": {"own": {"strategy": "strong"}}}, "add `strong: {}`"),
        ({"policies": {"": {"strategy": "causal"}}}, "at least 1"),
        ({"max_waiters": 0}, "greater than or equal"),
        ({"max_timeout": 0}, "greater than 0"),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(settings: dict[str, object], why: str) -> None:
    """With what is meant, where that can be guessed."""
    with pytest.raises(ValidationError, match=why):
        policies(**settings)
