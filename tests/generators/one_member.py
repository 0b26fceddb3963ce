"""A group of replicas that has one member, which has everything that it wants."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from cdc_daemon.errors import RetryError
from cdc_daemon.ports import NOTHING, Seat
from cdc_daemon.sharing.slots import ALL_SLOTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.ports import Reached, Word


class OneMember:
    """A group of one, which has everything that it wants."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        """Cleared, a look takes until it is set: as if the process were frozen meanwhile."""
        self.goes_on.set()
        self.is_away = False
        self._slots = ALL_SLOTS
        self.words: list[Word | None] = []
        """What was said to commits that wait."""
        self.keeps_words = True
        """Or it refuses them, as while who leads isn't settled."""
        self._wanted = NOTHING

    def take_part(self, *, leading: bool, sharing: bool) -> None:
        """It has at once what it wants."""
        self._wanted = Seat(leading, self._slots if sharing else frozenset())

    def look(self, timeout_seconds: float) -> Seat:
        """What it has."""
        time.sleep(timeout_seconds / 10)
        self.goes_on.wait()
        return self._wanted._replace(slots=self._wanted.slots & self._slots)

    def lose(self) -> None:
        """What it has is another one's, for good."""
        self._slots = frozenset()

    def is_led(self) -> bool:
        """By itself."""
        return self._wanted.leads

    def members(self) -> int:
        """There is one."""
        return 1

    def tell(self, reached: Mapping[int, Reached]) -> None:
        """Nobody else hears it."""

    def say(self, word: Word | None) -> bool:
        """Note it."""
        self.words.append(word)
        return self.keeps_words

    def told(self) -> Mapping[int, Reached]:
        """Nothing; or it can't be reached."""
        if self.is_away:
            raise RetryError("it is away")
        return {}

    def close(self) -> None:
        """There is nothing to let go of."""
