"""How fast a load is, and when it will be done: over the last seconds, by given times. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

SPAN_SECONDS: Final = 20.0
"""Long enough that chunks, which come in one piece, make an even rate; short enough that a pause
or another limit is seen soon."""
STEP_SECONDS: Final = 0.5
"""Samples are at least so far apart: no more than forty of them are kept."""


class _Sample(NamedTuple):
    time: float
    rows: int
    blocks_left: int


class Speed:
    """One thread notes samples; any thread asks."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def sampled(self, now: float, rows: int, blocks_left: int) -> None:
        """So many rows are durable, and about so many blocks are left."""
        samples = self._samples
        if samples and now - samples[-1].time < STEP_SECONDS:
            return
        samples.append(_Sample(now, rows, blocks_left))
        while len(samples) > 2 and samples[1].time <= now - SPAN_SECONDS:  # noqa: PLR2004 - a first, a second, and a last
            samples.popleft()

    def rows_per_second(self) -> float | None:
        """How many rows become durable; None before anybody can know."""
        if len(self._samples) < 2:  # noqa: PLR2004 - a rate needs two
            return None
        first, last = self._samples[0], self._samples[-1]
        return (last.rows - first.rows) / (last.time - first.time)

    def seconds_left(self) -> float | None:
        """How long the rest will take at this rate; None where nothing moves."""
        if len(self._samples) < 2:  # noqa: PLR2004 - as above
            return None
        first, last = self._samples[0], self._samples[-1]
        done = first.blocks_left - last.blocks_left
        if done <= 0:
            return None
        return last.blocks_left * (last.time - first.time) / done
