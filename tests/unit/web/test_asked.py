"""What a request to wait asks for, and how it is told what is wrong with it."""

from __future__ import annotations

import pytest

from cdc_daemon.config.consistency import ConsistencyConfig
from cdc_daemon.consistency.policies import Policies
from cdc_daemon.web.asked import Asked, Asking, RefusedError

CONFIG = {
    "policies": {"own": {"strategy": "causal", "timeout": "2s"}},
    "rules": [{"function": "my-*", "policy": "own"}],
}
ASKING = Asking(Policies(ConsistencyConfig.model_validate(CONFIG)), ["hotels", "rooms"])


def read(*query: tuple[str, str]) -> Asked:
    """Of a request that came at second 5."""
    return ASKING.read(query, 5.0)


def test_nothing_needs_to_be_said() -> None:
    """Then nothing is waited for, and all read models are meant."""
    asked = read()
    assert (asked.tokens, asked.what, asked.began) == ((), (None, None), 5.0)
    assert (asked.policy.strategy, asked.timeout_seconds) == ("causal", 10.0)


def test_all_that_is_said_is_meant() -> None:
    """Several tokens; the id as documents have it; a timeout in place of the policy's."""
    asked = read(
        *(("token", "0/1"), ("projection", "hotels"), ("id", 'a"b|ü'), ("timeout", "1500ms")),
        *(("token", "0/2"), ("policy", "own")),
    )
    assert asked.tokens == ("0/1", "0/2")
    assert asked.what == ("hotels", '"a\\"b|ü"'.encode())
    assert (asked.policy.name, asked.timeout_seconds) == ("own", 1.5)
    assert read(("policy", "own")).timeout_seconds == 2.0
    assert read(("function", "my-bookings")).policy.name == "own"
    assert read(("user", "guest")).policy.name == "eventual"
    assert read(("strategy", "strong")).policy[:2] == ("", "strong")
    assert read(("strategy", "eventual"), ("timeout", "3s")).timeout_seconds == 3.0
    assert read(("timeout", "0")).timeout_seconds == 0.0
    assert read(("projection", "hotels"), ("id", "")).what.document_id == b'""'


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ([("tokn", "0/1")], 400, "did you mean token"),
        ([("x" * 1000, "1")], 400, "there are token, projection"),
        ([("projection", "hotels"), ("projection", "rooms")], 400, "given twice"),
        ([("timeout", "1"), ("timeout", "1")], 400, "given twice"),
        ([("id", "1")], 400, "needs its projection"),
        ([("projection", "hotel")], 404, "did you mean 'hotels'"),
        ([("projection", "")], 404, "there are hotels, rooms"),
        ([("policy", "")], 404, "eventual"),
        ([("policy", "own"), ("user", "guest")], 400, "not both"),
        ([("strategy", "string")], 400, "did you mean 'strong'"),
        ([("strategy", "strong"), ("policy", "own")], 400, "not both"),
        ([("strategy", "strong"), ("user", "guest")], 400, "not both"),
        ([("timeout", "")], 400, "expected a duration"),
        ([("timeout", "-0.1")], 400, "expected a duration"),
        ([("timeout", "1e3")], 400, "expected a duration"),
        ([("timeout", "NaN")], 400, "expected a duration"),
        ([("timeout", "60.1")], 400, "at most 1m"),
    ],
)
def test_what_is_wrong_is_said(query: list[tuple[str, str]], status: int, why: str) -> None:
    """With what is meant, where that can be guessed, and in bounds."""
    with pytest.raises(RefusedError, match=why) as refused:
        read(*query)
    assert refused.value.status == status
    assert len(str(refused.value)) < 300
