"""How far topics of a relay were written, told without asking the brokers each time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from connectors.kafka.relay.ends import Ends, lacking

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSACTIONS = 200


class Brokers:
    """Partitions of two topics, as offsets are given out in them."""

    def __init__(self, rng: random.Random, partitions: Mapping[str, int]) -> None:
        self._rng = rng
        self._offsets = {topic: [0] * count for topic, count in partitions.items()}
        self._open: list[tuple[str, int]] = []

    def write(self, written: Mapping[str, int]) -> None:
        """Messages; the marks of the transaction before are there by then."""
        self.mark()
        for topic, count in written.items():
            for _ in range(count):
                number = self._rng.randrange(len(self._offsets[topic]))
                self._offsets[topic][number] += 1
                self._open.append((topic, number))

    def mark(self) -> None:
        """Each partition that was written to gets its mark."""
        for topic, number in {*self._open}:
            self._offsets[topic][number] += 1
        self._open = []

    def ends(self) -> dict[str, int]:
        """How far each topic goes."""
        return {topic: sum(offsets) for topic, offsets in self._offsets.items()}


@pytest.mark.parametrize("seed", range(20))
def test_what_is_known_is_never_more_than_there_is(seed: int) -> None:
    """Whenever marks come, and whenever it is looked; of one partition it is exactly that."""
    rng = random.Random(seed)
    brokers = Brokers(rng, {"hotel": 1, "room": 3})
    ends = Ends(brokers.ends())
    for _ in range(TRANSACTIONS):
        written = {topic: rng.randrange(1, 4) for topic in ("hotel", "room") if rng.random() < 0.5}
        brokers.write(written)
        ends = ends.after(written)
        assert ends.known["hotel"] == brokers.ends()["hotel"]
        assert lacking(ends.known, brokers.ends()) == {}
        if rng.random() < 0.5:
            brokers.mark()
        if rng.random() < 0.3:
            ends = ends.seen(brokers.ends())


def test_what_is_gone_is_counted() -> None:
    """Of topics that are known; those that are new, or longer, lack nothing."""
    assert lacking({"a": 5, "b": 5, "gone": 1}, {"a": 3, "b": 6, "new": 0}) == {"a": 2}
