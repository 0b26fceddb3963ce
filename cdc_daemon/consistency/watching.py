"""Who watches the source, from the first start that is retried until the process ends.

What the source keeps for us grows also while a start is retried, be it for days: the steps of
`source.wal` hold then, too.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdc_daemon.consistency.monitor import Monitor
from cdc_daemon.errors import CdcError, RetentionLimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.config.strong import StrongConfig
    from cdc_daemon.consistency.spans import Spans
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import Source


class Watching:
    """Of one process. The reader calls it."""

    def __init__(
        self,
        source: Source,
        metrics: Metrics,
        show: Callable[[Monitor], None],
        strong: StrongConfig | None,
        spans: Spans | None,
        *,
        relayed: bool = False,
    ) -> None:
        """`show` gets each monitor, as the one that is shown from then on; `relayed`: commits wait
        for a relay, and that for us.
        """  # noqa: D205 - one sentence
        self._source = source
        self._metrics = metrics
        self._show = show
        self._strong = strong
        self._spans = spans
        self._relayed = relayed
        self._monitor: Monitor | None = None
        self._is_followed = False
        """Whether the positions of the monitor are those of the run that goes on."""

    @contextmanager
    def limited(self) -> Iterator[None]:
        """A run, which ends where the source is to keep nothing more for us: our place is given up.

        Begins with what was found of that since the last one. Raises RetentionLimitError.
        """
        self._is_followed = False
        monitor = self._current()
        try:
            monitor.raise_failure()
            yield
        except RetentionLimitError as limit:
            self._give_up_place(limit)
            raise

    def followed(self) -> Monitor:
        """The monitor of a start that came through: it watches from now on.

        It begins anew with each run, as the positions may: the source can have another history.
        """
        if not self._is_followed and self._current().ident is not None:
            self.forget()
        self.go_on()
        self._is_followed = True
        return self._current()

    def go_on(self) -> None:
        """Watch, also while a start is retried."""
        monitor = self._current()
        if monitor.ident is None:
            monitor.start()

    def forget(self) -> None:
        """What the source keeps is another daemon's concern, or what was known of it is no more."""
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None

    def _current(self) -> Monitor:
        if self._monitor is None:
            clock = self._source.clock()
            self._monitor = Monitor(
                clock, self._metrics, self._strong, self._spans, relayed=self._relayed
            )
            self._show(self._monitor)
        return self._monitor

    def _give_up_place(self, limit: RetentionLimitError) -> None:
        """The disk of the source counts more than how fresh anything is."""
        try:
            self._source.give_up_place()
        except CdcError as error:
            raise RetentionLimitError(f"{limit}. That failed: {error}") from error
