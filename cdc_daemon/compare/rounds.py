"""What a technique costs the writers: rounds with it and without it by turns, against drift."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from cdc_daemon.compare.figures import Cost, Writers
from cdc_daemon.outside.percentiles import percentiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.compare.setting import Setting

CLIENTS: Final = 4
"""Connections that write."""
LONGEST_ROUND_SECONDS: Final = 3
"""Short, so that what else the machine does falls on both sides alike."""
WARM_UP_SECONDS: Final = 1
"""At full speed, before the first round: pages are in memory then, and tables have gaps."""
SHARE: Final = 0.5
"""Of the time of a steady run, for each of the four kinds of a round."""


class Written(NamedTuple):
    """What writers did."""

    seconds: float
    latencies: list[float]
    """Of each transaction, from its first statement to the return of its COMMIT."""


Write: TypeAlias = Callable[[int, float | None], Written]
"""Lets clients write for so many seconds, so many transactions a second; None: all they can."""


class Rounds:
    """Each round: at a steady rate and at full speed, with the technique and without it."""

    def __init__(self, baseline: Write, technique: Write) -> None:
        self._sides = (baseline, technique)
        self._steady: tuple[list[Written], list[Written]] = ([], [])
        self._full: tuple[list[Written], list[Written]] = ([], [])

    def run(self, setting: Setting, seconds: float, rate: float) -> Cost:
        """Rounds that fit a steady run of so many seconds.

        The consumer is frozen while there is no technique, and has caught up before it is.
        """
        rounds, each = _plan(seconds)
        for write in self._sides:
            write(WARM_UP_SECONDS, None)
        for number in range(rounds):
            for place in (0, 1) if number % 2 else (1, 0):
                with nullcontext() if place else setting.frozen():
                    self._steady[place].append(self._sides[place](each, rate))
                    self._full[place].append(self._sides[place](each, None))
                if place == 1:
                    setting.catch_up()
        baseline, technique = map(_writers, self._steady, self._full)
        return Cost(baseline, technique)


def rounds_seconds(seconds: float) -> int:
    """How long the rounds of a steady run of so many seconds take."""
    rounds, each = _plan(seconds)
    return 2 * WARM_UP_SECONDS + 4 * rounds * each


def _plan(seconds: float) -> tuple[int, int]:
    """How many rounds, and of how many seconds each of their kinds is.

    As many begin with the technique as without it, unless there is time for one only.
    """
    whole = SHARE * seconds
    rounds = max(1, 2 * round(whole / 2 / LONGEST_ROUND_SECONDS))
    return rounds, max(1, round(whole / rounds))


def _writers(steady: Sequence[Written], full: Sequence[Written]) -> Writers:
    transactions = sum(len(each.latencies) for each in full)
    latencies = [seconds for each in steady for seconds in each.latencies]
    return Writers(transactions / sum(each.seconds for each in full), percentiles(latencies))
