"""How far searches are of the pipelines that commits wait for through a relay.

What a leader of projectors has said stays true, so the most that was said counts. Nobody who is
silent holds what Kafka has: only what `remote_apply` waits for.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from cdc_daemon.events import Position
    from cdc_daemon.ports import Observer, Word

log = structlog.get_logger(__name__)

AWAITED_SECONDS: Final = 0.02
"""How often it is looked while something waits."""
IDLE_SECONDS: Final = 0.5
UNHEARD_SECONDS: Final = 5.0
"""Who has said nothing for so long, while something waits, is a matter for people."""
BACK_SECONDS: Final = 1.0
"""Who was left out counts again once it comes to a position in less than that."""


class Pipeline:
    """What is known of one. Pure; whoever owns it says what time it is."""

    def __init__(self, release_seconds: float | None, now: float) -> None:
        """`release_seconds`: after so long without getting on it isn't waited for; None: never."""
        self._release_seconds = release_seconds
        self.position = NOWHERE
        """Everything up to here is found."""
        self.is_whole = False
        """Whether searches see every read model that commits are to wait for."""
        self.trouble = ""
        """Why nothing is said."""
        self.is_left_out = False
        self._moved_at = now
        self._mark = (NOWHERE, now)
        """Where it is to come to, since when: whether it has caught up."""

    def hear(self, word: Word | str, source_id: str, settled: Position, now: float) -> None:
        """`settled`: as far as there is anything to be found that commits may wait for."""
        if isinstance(word, str):
            self.trouble, self.is_whole = word, False
        elif word.source_id != source_id:
            self.trouble = f"it follows {word.source_id}, and the relay {source_id}"
            self.is_whole = False
        else:
            # Who leads by now may have published what has yet to come as far as others had come.
            self.trouble, self.is_whole = "", word.is_whole and word.position >= self.position
            if word.position > self.position:
                self.position, self._moved_at = word.position, now
        if self.position >= settled:
            self._moved_at = now
        self._leave_out(settled, now)

    def _leave_out(self, settled: Position, now: float) -> None:
        if self._release_seconds is None:
            return
        if not self.is_left_out:
            self.is_left_out = now - self._moved_at >= self._release_seconds
            self._mark = (settled, now)
        elif self.position >= self._mark[0]:
            self.is_left_out = now - self._mark[1] > BACK_SECONDS
            self._mark = (settled, now)

    def silent_seconds(self, now: float) -> float:
        """Since when it hasn't got on, though there is something to be found."""
        return now - self._moved_at


class Searches(threading.Thread):
    """Of one start. Any thread asks."""

    def __init__(
        self,
        observer: Observer,
        pipelines: Collection[str],
        source_id: str,
        release_seconds: float | None,
        awaited: Callable[[], bool],
        moved: Callable[[], None],
    ) -> None:
        """`awaited`: whether commits may wait; `moved` is called when they are further, or when
        somebody is left out.
        """  # noqa: D205 - one sentence
        super().__init__(name="searches", daemon=True)
        self._observer = observer
        self._source_id = source_id
        self._is_awaited = awaited
        self._moved = moved
        self._failure: Exception | None = None
        now = time.monotonic()
        self._pipelines = {name: Pipeline(release_seconds, now) for name in pipelines}
        self._settled = NOWHERE
        self._awake = threading.Event()
        self._ended = False
        self._unheard: set[str] = set()

    def up_to(self, settled: Position) -> Position:
        """What of it searches of all pipelines find that commits wait for. Raises what has ended
        the thread.
        """  # noqa: D205 - one sentence
        if self._failure is not None:
            raise self._failure
        if settled > self._settled:
            self._settled = settled
            self._awake.set()
        return self._least(settled)

    def _least(self, settled: Position) -> Position:
        waited_for = [one.position for one in self._pipelines.values() if not one.is_left_out]
        return min((settled, *waited_for))

    @property
    def covers_all(self) -> bool:
        """Whether commits wait for all that they are to wait for."""
        return all(one.is_whole and not one.is_left_out for one in self._pipelines.values())

    def show(self, show: Callable[[Position], str]) -> Mapping[str, Any]:
        """For the status."""
        return {
            name: {
                "searchable": show(one.position),
                "waited_for": not one.is_left_out,
                "whole": one.is_whole,
                "trouble": one.trouble,
            }
            for name, one in self._pipelines.items()
        }

    def stop(self) -> None:
        """Make the thread end."""
        self._ended = True
        self._awake.set()

    def run(self) -> None:
        """Look until stopped: often while something waits."""
        try:
            while not self._ended:
                self._look()
                if self._is_awaited() and self._least(self._settled) < self._settled:
                    time.sleep(AWAITED_SECONDS)
                else:
                    self._awake.wait(IDLE_SECONDS)
                    self._awake.clear()
        except Exception as error:  # noqa: BLE001 - commits would wait for ever, and nobody know why
            self._failure = error
            self._moved()
        finally:
            self._observer.close()

    def _look(self) -> None:
        settled = self._settled if self._is_awaited() else NOWHERE
        words = self._observer.look()
        before = self._state()
        for name, one in self._pipelines.items():
            self._hear(name, one, words[name], settled)
        if self._state() != before:
            self._moved()

    def _state(self) -> tuple[Position, bool]:
        return self._least(self._settled), self.covers_all

    def _hear(self, name: str, one: Pipeline, word: Word | str, settled: Position) -> None:
        now = time.monotonic()
        was_left_out = one.is_left_out
        one.hear(word, self._source_id, settled, now)
        if one.is_left_out and not was_left_out:
            log.warning("projectors_left_out", projectors=name, why=one.trouble)
        elif was_left_out and not one.is_left_out:
            log.info("projectors_waited_for_again", projectors=name)
        silent = one.silent_seconds(now) >= UNHEARD_SECONDS
        if silent and name not in self._unheard:
            self._unheard.add(name)
            log.warning("projectors_behind", projectors=name, why=one.trouble)
        elif not silent:
            self._unheard.discard(name)
