"""Stores dead letters, and counts them. Any thread calls it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.delivery.letters import letter_of_rejection, letters_of_rows
from cdc_daemon.delivery.retrying import retrying

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdc_daemon.delivery.letters import Projection
    from cdc_daemon.events import DeadLetter, Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import DeadLetterStore, Rejection

log = structlog.get_logger(__name__)


class Letterbox:
    """Of one pipeline."""

    def __init__(
        self, store: DeadLetterStore, projections: Mapping[str, Projection], metrics: Metrics
    ) -> None:
        """`projections` by their indices."""
        self._store = store
        self._projections = projections
        self._metrics = metrics
        self._counting = threading.Lock()
        self.stored = 0
        """How many there are."""

    def begin(self) -> None:
        """Count those that are there already."""
        self._count(self._store.count(self._metrics.pipeline))

    def keep_rejected(self, rejections: Sequence[Rejection]) -> None:
        """The sink will never take these."""
        pipeline = self._metrics.pipeline
        self._keep(
            [
                letter_of_rejection(pipeline, self._projections[one.operation.index], one)
                for one in rejections
            ]
        )

    def keep_rows(
        self, index: str, position: Position, rejected: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """These rows can't become documents."""
        pipeline, name = self._metrics.pipeline, self._projections[index].name
        self._keep(letters_of_rows(pipeline, name, position, rejected))

    def _keep(self, letters: Sequence[DeadLetter]) -> None:
        """For as long as it takes."""
        new = 0
        for attempt in retrying():
            with attempt:
                new = self._store.add(letters)
        for (projection, reason), count in Counter(
            (letter.projection, letter.reason) for letter in letters
        ).items():
            self._metrics.dead_letter(projection, reason, count)
            log.warning("dead_letters", projection=projection, reason=reason, count=count)
        self._count(new)

    def _count(self, new: int) -> None:
        with self._counting:
            self.stored += new
            self._metrics.dead_letters_stored.labels(self._metrics.pipeline).set(self.stored)
