"""From positions to offsets: by halving, over a log with holes, parts, and histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_daemon.errors import SourceError
from cdc_daemon.events import NOWHERE, Position
from connectors.postgres.timelines import Timeline
from connectors.relay.log import LogHead, LogPlace
from connectors.relay.searching import begins_at, offset_after, shared_of_earlier, shared_until
from connectors.relay.topic import Found, LogTopic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE, BEFORE = "1/2", "1/1"


class WrittenLog:
    """A log as a list: of what is between two offsets nothing is committed."""

    first_where = LogTopic.first_where

    def __init__(self, found: Sequence[Found], high: int) -> None:
        self._found = found
        self._high = high

    def bounds(self) -> tuple[int, int]:
        """From the first message to beyond the last one."""
        return (self._found[0].offset if self._found else self._high), self._high

    def at(self, offset: int) -> Found | None:
        """The first one from there on."""
        return next(self.from_offset(offset), None)

    def last(self) -> Found | None:
        """Before the end."""
        return self._found[-1] if self._found else None

    def from_offset(self, offset: int) -> Iterator[Found]:
        """All from there on."""
        return (one for one in self._found if one.offset >= offset)


def log_of(parts: Sequence[int], gaps: Sequence[int], kept_from: int = 0) -> WrittenLog:
    """Transactions of so many parts, at positions 10, 20, ...; each message after such a gap."""
    offset, after = 0, Position(0)
    found: list[Found] = []
    for number, count in enumerate(parts):
        end = Position(10 * (number + 1))
        for part in range(count):
            offset += 1 + gaps[len(found) % len(gaps)]
            last = part == count - 1
            position = end if last else Position(after + 1)
            place = LogPlace(after, part, "commit" if last else "part", position)
            found.append(Found(offset, LogHead(HERE, {}), place, 0.0))
        after = end
    return WrittenLog(found[kept_from:], offset + 2)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=12),
    st.lists(st.integers(0, 3), min_size=1, max_size=5),
    st.integers(0, 130),
    st.integers(0, 10),
)
def test_the_first_transaction_beyond_a_position_is_found(
    parts: list[int], gaps: list[int], after: int, kept_from: int
) -> None:
    """At its first part, whatever the retention has left of the log."""
    log = log_of(parts, gaps, min(kept_from, sum(parts) - 1))
    begins = begins_at(log)
    whole = [one for one in log.from_offset(0) if one.place.part == 0]
    assert begins == (whole[0].place.after if whole else None)
    if begins is None or after < begins:
        return
    found = log.at(offset_after(log, HERE, Position(after)))
    beyond = [one for one in whole if one.place.after + 10 > after]
    assert found == (beyond[0] if beyond else None)


def test_a_hole_is_refused() -> None:
    """Somebody has deleted what comes next."""
    log = log_of([1, 1, 1, 1], [0])
    holed = WrittenLog([one for one in log.from_offset(0) if one.place.position != 20], 9)
    with pytest.raises(SourceError, match="the log lacks what came between 0/A and 0/14"):
        offset_after(holed, HERE, Position(10))


def test_nobody_goes_on_from_before_a_break() -> None:
    """The relay has lost its slot: what it says of all tables begins there, and only there."""
    before = LogHead(HERE, {"public.hotel": "1 since 10", "public.room": "2 since 30"})
    after = LogHead(HERE, {"public.hotel": "1 since 80", "public.room": "2 since 80"})
    kept = [
        Found(n, before, LogPlace(Position(10 * n), 0, "commit", Position(10 * n + 10)), 0.0)
        for n in range(1, 4)
    ]
    anew = Found(9, after, LogPlace(Position(80), 0, "watermark", Position(80)), 0.0)
    assert begins_at(WrittenLog(kept, 9)) == 10
    assert begins_at(WrittenLog([*kept, anew], 11)) == 80


def test_a_failover_is_where_the_relay_has_followed_it() -> None:
    """What the older history had beyond it isn't looked at."""
    old = [
        Found(n, LogHead(BEFORE, {}), LogPlace(Position(10 * n), 0, "commit", Position(at)), 0.0)
        for n, at in enumerate((10, 20, 30, 90))
    ]
    new = [
        Found(
            10 + n,
            LogHead(HERE, {}),
            LogPlace(Position(30 + 10 * n), 0, "commit", Position(at)),
            0.0,
        )
        for n, at in enumerate((40, 50))
    ]
    log = WrittenLog([*old, *new], 14)
    assert shared_until(log, HERE) == 30
    found = [log.at(offset_after(log, HERE, Position(after))) for after in (20, 30, 40, 50)]
    assert found == [old[2], new[0], new[1], None]
    assert shared_until(WrittenLog(new, 14), HERE) == NOWHERE


def test_each_earlier_timeline_is_shared_as_far_as_the_relay_went_on() -> None:
    """Of none where it began anew: that one may have left them earlier."""

    def relayed(offset: int, timeline: int, after: int, since: int = 0) -> Found:
        head = LogHead(f"1/{timeline}", {"public.hotel": f"1 since {since}"})
        place = LogPlace(Position(after), 0, "commit", Position(after + 10))
        return Found(offset, head, place, 0.0)

    of_first = [relayed(n, 1, 10 * n + 10) for n in range(3)]
    of_second = [relayed(3 + n, 2, 10 * n + 30) for n in range(3)]
    of_fourth = [relayed(6, 4, 60), relayed(7, 4, 70)]
    here = Timeline("1", 4)
    log = WrittenLog([*of_first, *of_second, *of_fourth], 9)
    assert shared_of_earlier(log, here) == {1: 30, 2: 60}
    assert shared_of_earlier(log, Timeline("2", 4)) == {}
    anew = [relayed(6, 4, 80, since=80), relayed(7, 4, 90, since=80)]
    assert shared_of_earlier(WrittenLog([*of_first, *of_second, *anew], 9), here) == {}
    assert shared_of_earlier(WrittenLog(anew, 9), here) == {}
    assert shared_of_earlier(WrittenLog([], 9), here) == {}
    written_since = WrittenLog(of_first, 2)
    assert shared_of_earlier(written_since, here) == {}
