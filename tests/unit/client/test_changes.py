"""What the client posts: rows as JSON, and to whom, for how long."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest

from cdc_daemon.client import Changes, ClientError, Token
from cdc_daemon.client.changes import as_json
from cdc_daemon.client.daemons import Daemons
from cdc_daemon.client.posting import post, posted
from cdc_daemon.client.steps import Answer, Ask, Pause, done

TOKEN = Token("7412345678901234567/1", 5)
TAKEN = Answer(200, {"transactions": [{"outcome": "written"}]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1.50"), "1.50"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (datetime(2026, 5, 1, 12, tzinfo=UTC), "2026-05-01T12:00:00+00:00"),
        (date(2026, 5, 1), "2026-05-01"),
        (timedelta(days=-1, seconds=3, microseconds=5), "P-1DT3.000005S"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "\\x00ff"),
        (ip_address("10.0.0.1"), "10.0.0.1"),
        ([1, None, True, {"a": (Decimal(1),)}], [1, None, True, {"a": ["1"]}]),
    ],
)
def test_values_are_what_the_daemon_reads(value: Any, expected: Any) -> None:
    """Python's of PostgreSQL's, as `to_jsonb` has them, or as text with every digit."""
    assert as_json(value) == expected


def test_a_value_that_nobody_reads_is_refused() -> None:
    """With what to do."""
    with pytest.raises(ClientError, match="return it as text"):
        as_json(object())


def test_changes_become_a_request() -> None:
    """In their order; a key that has changed comes with its row."""
    changes = Changes()
    changes.upsert("public.hotel", {"id": 2}, formerly={"id": 1})
    changes.delete("public.hotel", {"id": 3})
    assert len(changes) == 2
    assert json.loads(changes.body("v", "t", wait="durable", timeout=1.5)) == {
        "transactions": [
            {
                "version": "v",
                "token": "t",
                "changes": [
                    {"table": "public.hotel", "op": "upsert", "row": {"id": 2}, "key": {"id": 1}},
                    {"table": "public.hotel", "op": "delete", "key": {"id": 3}},
                ],
            }
        ],
        "wait": "durable",
        "timeout": "1.500",
    }


class World:
    """Daemons that answer by script, and time that passes by itself."""

    def __init__(self, *answers: Answer, takes: float = 0.0) -> None:
        self.answers = list(answers)
        self.seconds = 0.0
        self.takes = takes
        self.asked: list[Ask] = []

    def do(self, step: Ask | Pause) -> Answer | None:
        """A step."""
        if isinstance(step, Pause):
            self.seconds += step.seconds
            return None
        self.asked.append(step)
        self.seconds += self.takes
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def post(self) -> Answer:
        """What comes of a post."""
        daemons = Daemons(["http://a", "http://b"])
        return done(post(daemons, lambda _: b"{}", "key", 2.0, lambda: self.seconds), self.do)


def test_another_daemon_is_tried() -> None:
    """Where one is away, or stands by; and again until time is up."""
    world = World(Answer(0, {}), Answer(503, {}), TAKEN)
    assert world.post() is TAKEN
    assert [ask.url for ask in world.asked] == [
        *("http://a/api/v1/changes", "http://b/api/v1/changes", "http://a/api/v1/changes"),
    ]
    away = World(Answer(503, {"error": "starts"}), takes=0.3)
    assert away.post().reason == "starts"
    assert away.seconds < 3


def test_a_gateway_is_no_daemon() -> None:
    """Its JSON is no answer, whatever its status: another one is tried, in the same time."""
    gateway = Answer(504, {"message": "Endpoint request timed out"})
    world = World(gateway, TAKEN)
    assert world.post() is TAKEN
    assert len(world.asked) == 2
    nobody = World(gateway, takes=0.3)
    result = posted(TOKEN, nobody.post(), searchable=True)
    assert result.is_left
    assert "HTTP 504, and it isn't a daemon's answer" in result.why
    assert result.told["message"] == "Endpoint request timed out"
    assert nobody.seconds < 3


def test_a_refusal_is_final() -> None:
    """The same request would be refused again."""
    world = World(Answer(422, {"error": "wrong"}), TAKEN)
    assert world.post().status == 422
    assert len(world.asked) == 1


@pytest.mark.parametrize(
    ("answer", "outcome", "searchable"),
    [
        (TAKEN, "written", True),
        (Answer(200, {"transactions": [{"outcome": "superseded"}]}), "superseded", True),
        (Answer(504, {"transactions": [{"outcome": "superseded"}]}), "superseded", False),
        (Answer(504, {"transactions": [{"outcome": "written"}]}), "written", False),
        (Answer(200, {"transactions": [{"outcome": "left_to_stream"}]}), "left_to_stream", True),
        (Answer(504, {"transactions": [{"outcome": "left_to_stream"}]}), "left_to_stream", False),
        (Answer(504, {"transactions": [{"outcome": "given_up"}]}), "left", False),
        (Answer(503, {"error": "starts"}), "left", False),
        (Answer(504, {"message": "Endpoint request timed out"}), "left", False),
        (Answer(200, {"transactions": []}), "left", False),
        (Answer(200, {"transactions": ["written"]}), "left", False),
        (Answer(0, {}), "left", False),
    ],
)
def test_the_answer_says_what_became_of_it(
    answer: Answer, outcome: str, *, searchable: bool
) -> None:
    """And whether searches show it, where that was waited for."""
    result = posted(TOKEN, answer, searchable=True)
    assert (result.outcome, result.searchable) == (outcome, searchable)
    assert result.is_left is (outcome == "left")
