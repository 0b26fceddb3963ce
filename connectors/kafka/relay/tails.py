"""Whether topics have all that was written to them: when a relay begins, and while it writes.

A broker that has lost its last messages (its disk, a copy that was behind) says nothing of it, and
whoever writes goes on as if they were there. The source doesn't have them any more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import StartAgainError
from connectors.kafka.relay.checkpoints import Stored
from connectors.kafka.relay.ends import Ends, lacking
from connectors.kafka.topics import places_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cdc_daemon.events import Checkpoint
    from connectors.kafka.relay.topics import RelayTopics, WantedTopic
    from connectors.kafka.topics import Place, Topic, Topics

LOOK_SECONDS: Final = 5.0
"""How often it is looked while something is written: one question of all brokers."""


class Tails:
    """Of the topics of one relay. One thread owns them."""

    def __init__(self, names: RelayTopics, topics: Topics) -> None:
        self._names = names
        self._topics = topics
        self._there: Mapping[str, Topic] = {}
        self._ends = Ends({})
        self._looked_at = 0.0

    def begin(self, wanted: Sequence[WantedTopic], before: Stored | None) -> dict[str, int | None]:
        """Make the topics that are lacking, and look at all of them.

        Returns those that lack what was written `before`, and how many messages at least; None
        where the topic is another one.
        """
        self._there = self._names.make(wanted, self._topics)
        self._looked_at = time.monotonic()
        found = self._topics.written(self._there.values())
        self._ends = Ends(found)
        if before is None:
            return {}
        others = {
            name: None
            for name, topic in self._there.items()
            if before.topics.get(name, topic.id) != topic.id
        }
        return {**lacking(before.ends, found), **others}

    def stored(self, checkpoint: Checkpoint, written: Mapping[str, int]) -> Stored:
        """What is known once a transaction has ended that has so many messages of each topic."""
        ids = {name: topic.id for name, topic in self._there.items()}
        return Stored(checkpoint, ids, self._ends.after(written).known)

    def places(self, names: Iterable[str]) -> list[Place]:
        """The partitions of some of the topics."""
        return places_of(self._there[name] for name in names if name in self._there)

    def ended(self, written: Mapping[str, int]) -> None:
        """It has. Raises StartAgainError where one is found to lack messages."""
        self._ends = self._ends.after(written)
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        found = self._topics.written(self._there.values())
        if short := lacking(self._ends.known, found):
            named = ", ".join(f"{topic} ({count})" for topic, count in sorted(short.items()))
            raise StartAgainError(f"the brokers have lost messages of topics: {named}")
        self._ends = self._ends.seen(found)
