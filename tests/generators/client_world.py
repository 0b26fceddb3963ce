"""Daemons as the client's decisions see them: answers by script, time that passes by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cdc_daemon.client.steps import Answer, Ask, Fallback, Pause, Query, Step

if TYPE_CHECKING:
    from cdc_daemon.client.steps import Steps

Outgoing = TypeVar("Outgoing")
Respond = Callable[[Ask], Answer]

SYSTEM = "7412345678901234567"
EPOCH = f"{SYSTEM}/1"
FOUND = {"hits": {"hits": [{"_source": {"id": 1}}]}}


def reached(searchable: str = "0/500", *, epoch: str = EPOCH, staleness: float = 0.1) -> Answer:
    """What a daemon says where all is searchable."""
    told = {"reached": True, "searchable": searchable, "epoch": epoch, "waited_seconds": 0.0}
    return Answer(200, {**told, "staleness_seconds": staleness})


def not_reached(why: str = "not refreshed yet") -> Answer:
    """What a daemon says where time was up."""
    return Answer(504, {**reached().body, "reached": False, "why": why})


def refused(status: int, reason: str = "no", **told: Any) -> Answer:
    """What a daemon says of a request that it won't answer."""
    return Answer(status, {"error": reason, **told})


class World:
    """Does what is yielded; each daemon's answers come in turn, and the last one again."""

    def __init__(self, *answers: Answer, policies: Answer | None = None) -> None:
        self._answers = list(answers)
        self._policies = policies
        self.seconds = 1000.0
        self.asked: list[Ask] = []
        self.searched: list[Query] = []
        self.takes = 0.0
        """Seconds that each question takes."""

    def clock(self) -> float:
        """Its time."""
        return self.seconds

    def tokens(self) -> list[list[str]]:
        """What each wait was for."""
        waits = [ask for ask in self.asked if ask.url.endswith("/wait")]
        return [[value for name, value in ask.parameters if name == "token"] for ask in waits]

    def run(self, steps: Steps[Outgoing]) -> Outgoing:
        """The result of a decision."""
        came: Any = None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as end:
                result: Outgoing = end.value
                return result
            came = self._do(step)

    def _do(self, step: Step) -> Any:
        if isinstance(step, Ask):
            self.asked.append(step)
            self.seconds += min(self.takes, step.within_seconds)
            if step.url.endswith("/policies"):
                return self._policies or refused(0)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(step, Pause):
            self.seconds += step.seconds
            return None
        if isinstance(step, Query):
            self.searched.append(step)
            return FOUND
        assert isinstance(step, Fallback)
        return step.ask()
