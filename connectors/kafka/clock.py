"""The clock of a cluster's topics: how far they are, and what waits in them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import RetryError, StartAgainError
from cdc_daemon.ports import ClockSample, Standing
from connectors.kafka.following import gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Position
    from connectors.kafka.following import Following
    from connectors.kafka.stream import Stream
    from connectors.kafka.topics import Topics

LOOK_SECONDS: Final = 5.0
"""How often topics are looked at: whether they are those that they were."""


class KafkaClock:
    """A `SourceClock`. The time is ours: Kafka tells none."""

    def __init__(
        self, topics: Topics, stream: Stream, following: Callable[[], Following | None]
    ) -> None:
        self._topics = topics
        self._stream = stream
        self._following = following
        self._looked_at = 0.0

    def sample(self) -> ClockSample:
        """Now, and what stands for all that the topics hold by now.

        Raises RetryError while nothing is read: nobody knows then what isn't.
        """
        following, places = self._following(), list(self._stream.standings)
        if following is None or not places:
            if self._stream.has_begun:
                raise RetryError("no partition is ours just now", reason="unassigned")
            return ClockSample(time.time(), self._stream.last, 0.0)
        self._look(following)
        began, now = time.monotonic(), time.time()
        ends = self._topics.ends(places)
        following.ends = ends
        return ClockSample(now, self._stream.mark(ends), time.monotonic() - began)

    def nudge(self) -> None:
        """Nothing can be half written."""

    def reach(self, position: Position) -> Position:  # noqa: ARG002 - the port
        """What stands for all that the topics hold by now."""
        return self.sample().position

    def slot_health(self) -> None:
        """Topics keep what their retention says, whoever reads them."""

    def standing(self) -> Standing:
        """No commit waits for us."""
        return Standing()

    def close(self) -> None:
        """Let go of the connections."""
        self._topics.close()

    def _look(self, following: Following) -> None:
        """Whether a topic was deleted, or made anew."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        before = following.followed.topics
        now = self._topics.describe(before)
        for name, topic in before.items():
            if name not in now:
                following.fail(gone(name))
            elif now[name].id != topic.id:
                following.fail(StartAgainError(f"topic {name} was deleted and made again"))
