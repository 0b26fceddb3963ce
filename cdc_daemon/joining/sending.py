"""From documents that were touched to the lanes: assembled a slice at a time, never forgotten."""

from __future__ import annotations

from collections import deque
from itertools import groupby, islice
from typing import TYPE_CHECKING, Final

from cdc_daemon.assembly import Written
from cdc_daemon.events import BEYOND
from cdc_daemon.joining.inflight import InFlight
from cdc_daemon.sharing.slots import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cdc_daemon.assembly import Assembled, JoinedProjections, Pending
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Position
    from cdc_daemon.sharing.slots import Share

PAGE: Final = 10_000
"""Documents whose addresses are read at a time, where very many are pending."""
SLICE_DOCUMENTS: Final = 500
SLICE_BYTES: Final = 1_000_000
"""So much is assembled before it is handed over: between slices the bound of the queues is kept."""


class Sending:
    """What is to be sent, and what was sent and may not be there yet."""

    def __init__(
        self,
        projections: JoinedProjections,
        indices: Mapping[str, str],
        delivery: Delivery,
        share: Share = EVERYTHING,
    ) -> None:
        """`indices` by the names of the projections; documents outside of `share` aren't sent."""
        self._share = share
        self._projections = projections
        self._indices = indices
        self._delivery = delivery
        self._unsent: deque[Pending] = deque()
        self._unread: deque[str] = deque()
        """Projections of which all that is pending is to be sent, too."""
        self._read: bytes = b""
        """The last address that was read of the first of them."""
        self._aside: deque[Pending] = deque()
        """What is to be sent out of the way of all that, as there is room."""
        self.in_flight = InFlight(delivery.dispatcher)

    def __bool__(self) -> bool:
        return bool(self._unsent or self._unread)

    def add(self, some: Iterable[Pending]) -> None:
        """These are to be sent, after the others."""
        self._unsent.extend(self._ours(some))

    def _ours(self, some: Iterable[Pending]) -> Iterable[Pending]:
        if self._share.is_all:
            return some
        return (one for one in some if self._share.owns_address(one.address))

    def add_all_pending(self) -> None:
        """Everything that the sink isn't known to have is to be sent: it may be very much."""
        self._unread = deque(self._projections.given_out)
        self._read = b""

    def add_pending_of(self, projection: str) -> None:
        """The same of one projection, after what is to be sent already."""
        if projection not in self._unread:
            self._unread.append(projection)

    def add_aside(self, some: Iterable[Pending]) -> None:
        """These may wait for others, and for room: what changes meanwhile is as it is then."""
        self._aside.extend(self._ours(some))

    @property
    def has_aside(self) -> bool:
        """Whether any of those isn't on its way yet."""
        return bool(self._aside)

    def _read_on(self) -> bool:
        """Take up a page of what is pending; whether there was anything."""
        while self._unread and not self._unsent:
            page = self._projections.pending_of(self._unread[0], self._read, PAGE)
            self.add(page)
            if page:
                self._read = page[-1].address
            else:
                self._unread.popleft()
                self._read = b""
        return bool(self._unsent)

    def send(self) -> None:
        """Send all. Where that is interrupted (a stop, a lost source), the next call goes on."""
        while self._unsent or self._read_on():
            self._send_slice(self._unsent, self._delivery.dispatcher.send)

    def send_aside(self) -> None:
        """Send a slice of what may wait, which nobody is held up by. Ask for room before."""
        self._send_slice(self._aside, self._delivery.dispatcher.load)

    def _send_slice(self, some: deque[Pending], put: Callable[..., int]) -> None:
        slice_ = list(islice(some, SLICE_DOCUMENTS))
        assembly = self._projections.assemble(slice_, SLICE_BYTES)
        # The last documents of a wide change are in the lanes when nothing of it is open any more.
        self._put(assembly.documents, put, self._delivery.progress.reachable_of)
        self.in_flight.sent(
            Written(one.projection, one.address, assembly.position) for one in assembly.documents
        )
        # Only now: what is sent twice is the same, what is forgotten would be missing.
        for _ in range(assembly.looked_at):
            some.popleft()
        self._projections.meanwhile()

    def load(self, documents: Sequence[Assembled]) -> None:
        """Put documents of a generation that is being written into the lanes."""
        self._put(documents, self._delivery.dispatcher.load, lambda _: BEYOND)

    def _put(
        self,
        documents: Sequence[Assembled],
        put: Callable[..., int],
        after: Callable[[str], Position],
    ) -> None:
        for (name, version), some in groupby(
            documents, key=lambda one: (one.projection, one.version)
        ):
            contents = [(one.address, one.body) for one in some]
            index = self._indices[name]
            put(index, version, contents, after=after(index))
            self._delivery.metrics.assembled(name, len(contents))
