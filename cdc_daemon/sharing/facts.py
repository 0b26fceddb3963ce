"""How far all replicas are together, of what each has told of its slots. Pure.

What is told is a fact about documents in the sink, so it stays true, whoever has told it, and
whoever has the slot by now: a replica that was frozen says nothing wrong when it goes on.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.ports import Reached
from cdc_daemon.sharing.slots import ALL_SLOTS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cdc_daemon.events import Checkpoint, Position

ERA_BYTES: Final = 12


class Complete(NamedTuple):
    """How far the documents of some slots are."""

    durable: Position
    searchable: Position


def era_of(checkpoint: Checkpoint) -> str:
    """The indices that are written, in which history: what was told of others says nothing."""
    uuids = sorted(one.uuid for one in checkpoint.generations.values())
    text = "\n".join((checkpoint.source_id, *uuids)).encode()
    return blake2b(text, digest_size=ERA_BYTES).hexdigest()


def complete(
    told: Mapping[int, Reached],
    era: str,
    floor: Position,
    slots: Collection[int] = ALL_SLOTS,
) -> Complete:
    """Up to where all documents of these slots are; `floor` is the position of the checkpoint.

    Of a slot that nobody has told of in this era that much is known.
    """
    reached = [reached_of(told, slot, era, floor) for slot in slots]
    return Complete(
        min((one.durable for one in reached), default=floor),
        min((one.searchable for one in reached), default=floor),
    )


def reached_of(told: Mapping[int, Reached], slot: int, era: str, floor: Position) -> Complete:
    """Up to where the documents of one slot are."""
    one = told.get(slot)
    if one is None or one.era != era:
        return Complete(floor, floor)
    return Complete(max(one.durable, floor), max(one.searchable, floor))


def worth_telling(
    told: Mapping[int, Reached], ours: Collection[int], now: Reached
) -> dict[int, Reached]:
    """Of which of our slots it is news: whoever had one before may have come further than we."""
    news = {}
    for slot in ours:
        before = told.get(slot)
        if before is None or before.era != now.era:
            news[slot] = now
        elif now.durable > before.durable or now.searchable > before.searchable:
            durable = max(now.durable, before.durable)
            news[slot] = Reached(now.era, durable, max(now.searchable, before.searchable))
    return news
