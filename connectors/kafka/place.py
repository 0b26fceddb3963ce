"""The place that Kafka keeps for us: how far our group is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import SlotInUseError
from cdc_daemon.events import Position
from connectors.kafka.session import SESSION_SECONDS
from connectors.kafka.standing import Standing, read_kept
from connectors.messages.numbering import BEYOND

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from connectors.kafka.followed import Followed
    from connectors.kafka.topics import Place, Topics

log = structlog.get_logger(__name__)

MEMBER_SECONDS: Final = 3 * SESSION_SECONDS
"""A member that has died counts as one for a while."""
LOOK_SECONDS: Final = 0.5


def kept_place(
    topics: Topics,
    group: str,
    followed: Followed,
    last: Position,
    truncated: Mapping[Place, int],
) -> Position | None:
    """The position that was durable; None where the group has said nothing of these partitions.

    Beyond all positions that were given where messages are gone that were never read, or that were
    (`truncated`: where the client has seen that): `last` is the newest one that we have given.
    """
    places = followed.places
    committed = topics.committed(group, places)
    kept = {place: read_kept(committed[place]) for place in places if place in committed}
    if not kept:
        return None
    for place, offset in truncated.items():
        log.warning("topic_truncated", topic=place.topic, partition=place.partition, next=offset)
    if truncated:
        return _beyond(max(said.position for said in kept.values()), last)
    begins, ends = topics.begins(places), topics.ends(places)
    found = Position(0)
    for place, said in kept.items():
        if said.topic_id not in {"", followed.topics[place.topic].id}:
            continue  # it was made anew: its table is said to be another one
        if not begins[place] <= said.standing.offset <= ends[place]:
            log.warning(
                "messages_gone",
                topic=place.topic,
                partition=place.partition,
                next=said.standing.offset,
                begins_with=begins[place],
                ends_with=ends[place],
            )
            return _beyond(said.position, last)
        found = max(found, said.position)
    return found


def _beyond(position: Position, last: Position) -> Position:
    return Position(max(position, last, int(time.time() * 1_000_000)) + BEYOND)


def set_place(
    topics: Topics,
    group: str,
    followed: Followed,
    position: Position,
    start: Literal["earliest", "latest"],
) -> None:
    """Begin with what the topics hold, or with what comes. Raises SlotInUseError."""
    require_alone(topics, group)
    places = followed.places
    offsets = topics.begins(places) if start == "earliest" else topics.ends(places)
    topics.commit(
        group,
        {
            place: Standing(offset).committed(followed.topics[place.topic].id, position)
            for place, offset in offsets.items()
        },
    )


def require_alone(topics: Topics, group: str) -> None:
    """Wait until the group has no members any more."""
    until = time.monotonic() + MEMBER_SECONDS
    while members := topics.members(group):
        if time.monotonic() > until:
            raise SlotInUseError(
                f"group {group} has members: {', '.join(members)}. Stop them, or give this "
                "pipeline a `group` of its own"
            )
        time.sleep(LOOK_SECONDS)
