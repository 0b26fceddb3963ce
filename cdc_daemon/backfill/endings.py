"""How loads end: what is whole is published or swept, and what is over is remembered."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from cdc_daemon.backfill.publishing import Publishing
from cdc_daemon.backfill.report import MOST_ENDED, Ended, ended
from cdc_daemon.backfill.sweeping import Sweepings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from cdc_daemon.backfill.report import UnderWay
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Generation, Load
    from cdc_daemon.ports import Sink


class Endings:
    """Those of a pipeline. The reader calls it."""

    def __init__(
        self,
        delivery: Delivery,
        sink: Sink,
        generations: Mapping[str, Generation],
        wake: Callable[[], None],
    ) -> None:
        self._publishing = Publishing(delivery, sink, generations)
        self._sweepings = Sweepings(delivery, wake)
        self._ended: deque[Ended] = deque(maxlen=MOST_ENDED)
        self.loading = frozenset[str]()
        """The indices, and tables of the state, that are being filled."""

    @property
    def sweeping(self) -> list[UnderWay]:
        """The repairs that have read everything, and delete what is gone."""
        return self._sweepings.loads

    @property
    def unpublished(self) -> Sequence[UnderWay]:
        """What has made generations whole that nobody searches yet."""
        return self._publishing.waiting

    @property
    def ended(self) -> list[Ended]:
        """The last loads that are over. Any thread may ask."""
        return list(self._ended)

    def begun(self, load: Load, indices: Collection[str]) -> None:
        """Rows are loaded into these indices: what searches see of them is another matter."""
        self._publishing.begun(load, indices)

    def fills(self, names: Iterable[str]) -> None:
        """These are filled, from now on until a load that fills them ends."""
        self.loading |= frozenset(names)

    def whole(self, load: UnderWay) -> None:
        """All that it writes is durable."""
        if load.repairs:
            self._sweepings.begin(load)
        else:
            self._publishing.waiting.append(load)

    def take_swept(self) -> bool:
        """End the repairs whose sweeping is done; whether there were any."""
        done = self._sweepings.take_done()
        for load in done:
            self.end(load, "repaired")
        return bool(done)

    def publish(self) -> None:
        """Let searches see what is whole, once the checkpoint says that it is."""
        self._publishing.publish(lambda load: self.end(load, "loaded"))

    def end(self, load: UnderWay, outcome: str) -> None:
        """It is over."""
        self.loading -= load.fills
        self._publishing.ended(load)
        self._ended.append(ended(load, outcome))
