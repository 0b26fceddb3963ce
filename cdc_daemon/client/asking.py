"""One question to whichever daemon answers it, in bounded time. Pure: it yields steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.client.steps import Answer, Ask, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from cdc_daemon.client.daemons import Daemons
    from cdc_daemon.client.steps import Steps

TRY_ANOTHER: Final = frozenset({0, 429, 502, 503})
"""Nobody there, too many waiters, a proxy without a daemon, a daemon that starts or stands by."""
PAUSE_SECONDS: Final = 0.1
"""After the first round: short beside a restart, which takes a second. Each is twice as long."""
LONGEST_PAUSE_SECONDS: Final = 1.0
"""So many clients that all wait for one daemon are no load for it."""
LEAST_SECONDS: Final = 0.25
"""An answer that is ready takes this long at most, so `timeout=0` isn't hopeless."""
ANSWER_PART: Final = 0.1
MOST_ANSWER_SECONDS: Final = 0.1
"""What the daemon gets less than we have, so that its reason is here before our time is up."""

DONE: Final = frozenset({200, 504})
"""What was asked for, or how far that got in time. Gateways answer by these as well."""

Parameters = tuple[tuple[str, str], ...]


def ask(
    daemons: Daemons,
    path: str,
    parameters: Callable[[float], Parameters],
    timeout_seconds: float,
    clock: Callable[[], float],
    keys: Collection[str],
) -> Steps[Answer]:
    """The first answer that isn't "ask another", or the last that is when time is up.

    `parameters` is given how long the daemon may take. `keys`: what it always says, and what
    answers in its place doesn't.
    """
    deadline = clock() + max(timeout_seconds, LEAST_SECONDS)
    pause = PAUSE_SECONDS
    while True:
        for url in daemons.in_order():
            left = max(deadline - clock(), 0.0)
            for_daemon = min(timeout_seconds, left - min(left * ANSWER_PART, MOST_ANSWER_SECONDS))
            answer: Answer = yield Ask(url + path, parameters(for_daemon), left)
            if answer.status in DONE and not answer.body.keys() >= set(keys):
                said = f"what answers at {url} is no daemon: HTTP {answer.status}"
                answer = Answer(0, {"error": said})
            if answer.status not in TRY_ANOTHER:
                daemons.epoch = answer.body.get("epoch", daemons.epoch)
                return answer
            daemons.failed(url)
            if clock() >= deadline:
                return answer
        left = deadline - clock()
        if left < PAUSE_SECONDS:
            return answer
        yield Pause(min(pause, left / 2))  # the last question comes near the end
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
