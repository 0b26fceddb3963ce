"""How far topics were written: brokers that have lost the end of one are found out by it. Pure.

Of a topic with several partitions it is the sum of theirs. Each message takes an offset, and so
does the mark that ends a Kafka transaction, in each partition that the transaction has written to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Ends:
    """Of the topics of one relay: where each ends at least."""

    def __init__(self, known: Mapping[str, int], unmarked: Collection[str] = ()) -> None:
        """`unmarked`: those where the mark of the last transaction isn't counted."""
        self.known = known
        self._unmarked = frozenset(unmarked)

    def after(self, written: Mapping[str, int]) -> Ends:
        """Once a transaction has ended that has so many messages of each.

        The mark of the one before is there by then, since there is one at a time; its own may come
        a moment later.
        """
        known = {
            topic: end + (topic in self._unmarked) + written.get(topic, 0)
            for topic, end in self.known.items()
        }
        return Ends(known, written.keys())

    def seen(self, found: Mapping[str, int]) -> Ends:
        """The same, once it was looked how far they go: marks in other partitions count as well."""
        unmarked = (topic for topic in self._unmarked if found.get(topic) == self.known.get(topic))
        return Ends(found, frozenset(unmarked))


def lacking(known: Mapping[str, int], found: Mapping[str, int]) -> dict[str, int]:
    """How many messages topics lack at least, of those that do."""
    return {
        topic: known[topic] - end
        for topic, end in found.items()
        if topic in known and end < known[topic]
    }
