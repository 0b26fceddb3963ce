"""Background work: small requests while changes come and take long, large ones otherwise."""

from __future__ import annotations

from cdc_daemon.delivery.lane import Batch
from cdc_daemon.delivery.lanes import Lanes
from cdc_daemon.delivery.yielding import (
    LARGE_OPERATIONS,
    LONGEST_REST_SECONDS,
    LONGEST_SECONDS,
    QUIET_SECONDS,
    REST_FACTORS,
    SMALLEST_BYTES,
    Yielding,
)
from cdc_daemon.events import DocumentOperation, Position

LARGEST_BYTES = 5_000_000
BACKGROUND = Batch(Position(0))


class Sink:
    """One that takes as long for everything as it is told to."""

    def __init__(self, freshness: float = 0.0) -> None:
        self.now = 1000.0
        self.yielding = Yielding(LARGEST_BYTES, {"fresh": freshness}, lambda: self.now)

    def change(self, seconds: float, count: int = 1) -> None:
        """Write some changes, and have them shown."""
        batch = Batch(Position(0))
        batch.by_index, batch.count = {"fresh": {}}, count
        self.now += seconds
        self.yielding.changes_written(batch, seconds)

    def beside(self, change_seconds: float, count: int = 1, seconds: float = 0.1) -> None:
        """A request of the background, and changes in the meantime."""
        self.now += self.rest
        self.yielding.begins()
        self.change(change_seconds, count)
        self.now += max(0.0, seconds - change_seconds)
        self.yielding.ends(BACKGROUND, seconds)

    @property
    def rest(self) -> float:
        """How long the next request of the background waits."""
        return self.yielding.hold_seconds(BACKGROUND, 0.0)


def test_alone_it_takes_all_that_there_is() -> None:
    """Without changes requests are as large as any, and there is no rest."""
    sink = Sink()
    for _ in range(3):
        sink.yielding.begins()
        sink.now += 5.0
        sink.yielding.ends(BACKGROUND, 5.0)
    assert sink.yielding.request_bytes == LARGEST_BYTES
    assert not sink.yielding.alone
    assert sink.rest == 0


def test_beside_changes_it_begins_small_and_grows_while_they_are_quick() -> None:
    """One request at a time, until large ones have been found to harm nothing."""
    sink = Sink()
    sink.change(0.005)
    assert sink.yielding.request_bytes == SMALLEST_BYTES
    assert sink.yielding.alone
    for _ in range(50):
        sink.beside(0.02)
    assert sink.yielding.request_bytes == LARGEST_BYTES
    assert not sink.yielding.alone


def test_it_is_halved_when_changes_take_too_long_and_then_it_rests() -> None:
    """A rest is four times as long as the request, half a second at most: it never stands still."""
    sink = Sink()
    sink.change(0.005)
    for _ in range(50):
        sink.beside(0.02)
    sink.beside(0.5)
    assert sink.yielding.request_bytes == LARGEST_BYTES // 2
    for _ in range(20):
        sink.beside(0.09)
    assert sink.yielding.request_bytes == SMALLEST_BYTES
    assert round(sink.rest, 6) == round(REST_FACTORS[-1] * 0.1, 6)
    sink.beside(0.9, seconds=1.0)
    assert round(sink.rest, 6) == LONGEST_REST_SECONDS
    for _ in REST_FACTORS:
        sink.beside(0.02)
    assert sink.rest == 0


def test_a_slow_refresh_counts_like_a_slow_request() -> None:
    """A change waits for both."""
    sink = Sink()
    sink.change(0.005)
    sink.yielding.begins()
    sink.yielding.refreshed(["fresh"], 0.3)
    sink.yielding.ends(BACKGROUND, 0.1)
    assert sink.rest > 0


def test_what_need_not_be_fresh_may_take_longer() -> None:
    """A quarter of the freshness."""
    sink = Sink(freshness=2.0)
    sink.change(0.005)
    before = sink.yielding.request_bytes
    sink.beside(0.4)
    assert sink.yielding.request_bytes > before
    sink.beside(0.6)
    assert sink.yielding.request_bytes <= before


def test_what_takes_as_long_without_it_is_no_reason_to_yield() -> None:
    """A sink that is far away answers no sooner when the background waits."""
    sink = Sink()
    for _ in range(3):
        sink.change(4 * LONGEST_SECONDS)
    for _ in range(50):
        sink.beside(4 * LONGEST_SECONDS, seconds=0.3)
    assert sink.yielding.request_bytes == LARGEST_BYTES
    assert sink.rest == 0


def test_a_stream_that_is_behind_neither_waits_nor_is_waited_for() -> None:
    """Its requests are large, and take their time by themselves."""
    sink = Sink()
    sink.change(0.005)
    for _ in range(5):
        sink.beside(0.8, count=LARGE_OPERATIONS, seconds=1.0)
    assert sink.rest == 0


def test_when_changes_have_ended_it_takes_all_again() -> None:
    """With the first request that ends after a while without any."""
    sink = Sink()
    sink.change(0.005)
    sink.beside(0.5)
    sink.now += QUIET_SECONDS + 1
    sink.yielding.begins()
    sink.yielding.ends(BACKGROUND, 0.1)
    assert sink.yielding.request_bytes == LARGEST_BYTES
    assert sink.rest == 0


def test_lanes_that_yield_are_one_and_their_requests_are_small() -> None:
    """Also where more waits than any request carries."""
    sink = Sink()
    lanes = Lanes(2, LARGEST_BYTES, sink.yielding.hold_seconds, sink.yielding)
    sink.change(0.005)
    for number in range(200):
        assert lanes.adapt() == 1
        operation = DocumentOperation("fresh", b"%d" % number, 1, b"{}")
        lanes[0].put("fresh", {operation.id: operation}, SMALLEST_BYTES, Position(1))
    batch = lanes[0].take()
    assert batch is not None
    assert batch.count == 1


def test_a_rest_is_kept_by_full_requests_too_until_all_is_to_be_written() -> None:
    """A stop, or a truncate, doesn't wait for it."""
    sink = Sink()
    lanes = Lanes(1, LARGEST_BYTES, sink.yielding.hold_seconds, sink.yielding)
    sink.change(0.005)
    lanes.adapt()
    operation = DocumentOperation("fresh", b"1", 1, b"{}")
    lanes[0].put("fresh", {b"1": operation}, SMALLEST_BYTES, Position(1))
    sink.beside(0.3)
    assert lanes[0]._next()[1] == sink.rest > 0
    sink.yielding.at_once = True
    assert lanes[0]._next()[1] == 0
