"""Posts what was committed to whichever daemon takes it, in bounded time. Pure: it yields steps."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cdc_daemon.client.asking import PAUSE_SECONDS, TRY_ANOTHER
from cdc_daemon.client.errors import ClientError
from cdc_daemon.client.steps import Answer, Ask, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.client.daemons import Daemons
    from cdc_daemon.client.tokens import Token

POST_PATH: Final = "/api/v1/changes"
DEFAULT_TIMEOUT_SECONDS: Final = 2.0
"""Somebody waits for the answer, and the stream brings what isn't posted."""
TAKEN: Final = 200
NOT_IN_TIME: Final = 504
_THERE: Final = frozenset({"written", "superseded", "left_to_stream"})
"""It is in the sink, or the stream had it there in time."""
_TRANSIT_SECONDS: Final = 0.1
"""What the daemon gets less than we have, so that its answer is here before our time is up."""

Posting: TypeAlias = Generator[Ask | Pause, Any, Answer]


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a transaction's changes."""

    token: Token
    """Behind its COMMIT: who waits for it reads at least this."""
    outcome: str
    """`written`; `superseded`: the stream was faster, or a later change is there;
    `left_to_stream`: no read model of it is written to by posts, and the stream was waited for;
    `refused`: the sink, or the
    mapping, takes no such document; `left`: it wasn't posted, or too late, and the stream brings
    it."""
    why: str = ""
    """Of what was left."""
    searchable: bool = False
    """Whether searches show it already, where that was asked for."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """All that the daemon has answered."""

    @property
    def is_left(self) -> bool:
        """Whether only the stream brings it."""
        return self.outcome == "left"


class NotPostedError(ClientError):
    """It is committed, and was not posted: only the stream brings it."""

    def __init__(self, posted: Posted) -> None:
        super().__init__(f"committed, but not posted ({posted.why}): the stream brings it")
        self.posted = posted


def post(
    daemons: Daemons,
    body: Callable[[float], bytes],
    key: str,
    timeout_seconds: float,
    clock: Callable[[], float],
) -> Posting:
    """The first answer that isn't "ask another", or the last one when time is up.

    `body` is given how long the daemon may take. It may be taken twice, which is harmless.
    """
    deadline = clock() + timeout_seconds
    while True:
        for url in daemons.in_order():
            left = max(deadline - clock(), _TRANSIT_SECONDS)
            for_daemon = max(left - _TRANSIT_SECONDS, 0.0)
            came: Answer = yield Ask(url + POST_PATH, (), left, body(for_daemon), key)
            answer = _of_daemon(came, url)
            if answer.status not in TRY_ANOTHER:
                return answer
            daemons.failed(url)
            if clock() + PAUSE_SECONDS >= deadline:
                return answer
        yield Pause(PAUSE_SECONDS)


def posted(token: Token, answer: Answer, *, searchable: bool) -> Posted:
    """What an answer says of the one transaction."""
    outcome = _outcome(answer)
    if outcome is None:
        return Posted(token, "left", answer.reason or f"HTTP {answer.status}", told=answer.body)
    if outcome == "given_up":
        return Posted(token, "left", "the sink didn't take it in time", told=answer.body)
    shown = searchable and outcome in _THERE and answer.status == TAKEN
    return Posted(token, outcome, searchable=shown, told=answer.body)


def _of_daemon(answer: Answer, url: str) -> Answer:
    """With status 0 where it has the status of a daemon's that has taken it, and isn't one.

    A gateway answers in JSON too, when nobody behind it does in its time.
    """
    if answer.status not in {TAKEN, NOT_IN_TIME} or _outcome(answer) is not None:
        return answer
    said = answer.reason or f"{url} answers HTTP {answer.status}, and it isn't a daemon's answer"
    return Answer(0, {**answer.body, "error": said})


def _outcome(answer: Answer) -> str | None:
    """Of the one transaction; None where nobody has taken it."""
    if answer.status not in {TAKEN, NOT_IN_TIME}:
        return None
    match answer.body:
        case {"transactions": [{"outcome": str(outcome)}]}:
            return outcome
    return None
