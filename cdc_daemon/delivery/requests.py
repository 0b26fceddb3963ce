"""What becomes of requests to the sink, as metrics: told by the senders and the refresher."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.log import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.delivery.letters import Projection
    from cdc_daemon.events import DocumentOperation
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.ports import WriteResult

log = structlog.get_logger(__name__)

_index_of: Final = attrgetter("index")
_Outcome = tuple[str, str, str]
"""Index, kind of operation, and what became of it."""


class Requests:
    """Those to one sink of a pipeline; an `Observer` of its senders. Any thread calls it."""

    def __init__(
        self,
        projections: Mapping[str, Projection],
        metrics: Metrics,
        sink: str,
        written: Callable[[str], None],
    ) -> None:
        """`projections` by their indices; `sink` is the name of one of several, else empty.

        `written` gets the indices that documents were written to.
        """
        self._projections = projections
        self._metrics = metrics
        self._sink = sink
        self._written = written
        self._retries = Seldom()

    def wrote(self, operations: Sequence[DocumentOperation], result: WriteResult) -> None:
        """Count what a request did."""
        special: Counter[_Outcome] = Counter()
        for name, some in (
            ("dead_letter", [rejection.operation for rejection in result.rejected]),
            ("stale", result.stale),
            ("", result.retry),
        ):
            for operation in some:
                kind = "delete" if operation.body is None else "index"
                special[operation.index, kind, name] += 1
        deletes = Counter(operation.index for operation in operations if operation.body is None)
        for index, count in Counter(map(_index_of, operations)).items():
            projection = self._projections[index].name
            for kind, total in (("index", count - deletes[index]), ("delete", deletes[index])):
                exceptions = 0
                for name in ("dead_letter", "stale", ""):
                    some_count = special[index, kind, name]
                    exceptions += some_count
                    if name:
                        self._metrics.wrote(projection, kind, name, some_count)
                self._metrics.wrote(projection, kind, "written", total - exceptions)
                if total > exceptions:
                    self._written(index)

    def took(self, seconds: float) -> None:
        """Observe how long a request took."""
        self._metrics.bulk_took(self._sink, seconds)

    def retried(self, reason: str, explanation: str) -> None:
        """Note that the sink could not be reached, or took not everything."""
        if self._retries.noted(reason):
            log.warning("sink_retry", reason=reason, error=explanation)
        self._metrics.bulk_retried(self._sink, reason)
        self._metrics.failed()
