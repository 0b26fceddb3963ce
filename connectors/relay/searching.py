"""From positions of the stream to offsets of the log, by looking into it. Pure but for that."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from cdc_daemon.errors import SourceError
from cdc_daemon.events import NOWHERE, Position
from connectors.postgres.lsn import format_lsn
from connectors.postgres.timelines import Timeline, read_timeline
from connectors.relay.log import whole_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.relay.topic import Found


class Searched(Protocol):
    """What of a `LogTopic` is asked here."""

    def bounds(self) -> tuple[int, int]:
        """As `LogTopic` has it."""

    def at(self, offset: int) -> Found | None:
        """As `LogTopic` has it."""

    def last(self) -> Found | None:
        """As `LogTopic` has it."""

    def from_offset(self, offset: int) -> Iterator[Found]:
        """As `LogTopic` has it."""

    def first_where(self, holds: Callable[[Found], bool], low: int, high: int) -> int:
        """As `LogTopic` has it."""


def begins_at(log: Searched) -> Position | None:
    """Whatever comes after this position is in the log; None where nothing is there.

    What is kept of a topic may begin amid a transaction; and what comes before a break in it isn't
    gone on from.
    """
    low, _ = log.bounds()
    whole = (found.place.after for found in log.from_offset(low) if not found.place.part)
    first, last = next(whole, None), log.last()
    return None if first is None or last is None else max(first, whole_since(last.head))


def shared_until(log: Searched, here: str) -> Position:
    """Up to where the relay had followed an earlier timeline, when it began to follow `here`.

    NOWHERE if that isn't to be found in the log.
    """
    low, high = log.bounds()
    first = log.at(low)
    began = log.at(log.first_where(lambda one: one.head.source_id == here, low, high))
    if first is None or began is None or first.head.source_id == here:
        return NOWHERE
    return began.place.after


def shared_of_earlier(log: Searched, here: Timeline) -> dict[int, Position]:
    """The same of each timeline before `here`, by its number; of none before a break of the log:
    the one that it goes on with may have left them earlier.
    """  # noqa: D205 - one sentence
    low, high = log.bounds()
    shared: dict[int, Position] = {}
    found = log.at(low)
    while found is not None:
        timeline = read_timeline(found.head.source_id)
        if timeline.system != here.system or timeline.number >= here.number:
            break
        found = log.at(log.first_where(partial(_is_later, timeline), low, high))
        if found is None or not _is_later(timeline, found):
            break  # the end of the log; what is beyond was written since it was looked up
        if whole_since(found.head) < found.place.after:
            shared[timeline.number] = found.place.after
        else:
            shared.clear()
    return shared


def _is_later(timeline: Timeline, found: Found) -> bool:
    return read_timeline(found.head.source_id).number > timeline.number


def offset_after(log: Searched, here: str, after: Position) -> int:
    """The offset of the first transaction that ends beyond `after`.

    What an earlier timeline has beyond the place where the relay left it isn't looked at. Raises
    SourceError where something between is missing.
    """
    low, high = log.bounds()
    ours = log.first_where(lambda one: one.head.source_id == here, low, high)
    began = log.at(ours)
    if began is not None and after >= began.place.after:
        low = ours
    else:
        high = ours
    offset = log.first_where(lambda one: one.place.position > after, low, high)
    found = log.at(offset)
    if found is not None and found.place.part:
        first = found.place.after
        offset = log.first_where(lambda one: one.place.after >= first, low, high)
        found = log.at(offset)
    if found is not None and (found.place.part or found.place.after > after):
        raise SourceError(
            f"the log lacks what came between {format_lsn(after)} and "
            f"{format_lsn(found.place.after)}: somebody else than the relay has written to its "
            "topic, or deleted records of it. Stop the relay, delete the topic, and start the "
            "relay again: everything is loaded anew"
        )
    return offset
