"""How far a group is in a partition, as it says so to Kafka: an offset, and more. Pure.

The position that was durable then tells a checkpoint that is older: what lies between would be
missing. The topic's id tells one that was deleted and made again. The other two are what later
messages of the partition are compared with. The leader's epoch, which Kafka keeps beside the
offset, tells a log that is another one by now.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from cdc_daemon.events import NOWHERE, Position
from connectors.kafka.topics import UNKNOWN_EPOCH, Committed

if TYPE_CHECKING:
    from connectors.messages.message import Said

_METADATA: Final = re.compile(
    r"topic=(\S+) position=(\d{1,20}) floor=(\d{1,20}) newest=(\d{1,20})", re.ASCII
)


class Standing(NamedTuple):
    """In one partition."""

    offset: int
    """What comes next."""
    floor: int = 0
    newest: int = 0
    """Of the messages before: as `Message` has them."""
    epoch: int = UNKNOWN_EPOCH
    """As `Committed` has it. Where messages wait and less is committed, it may be that of a later
    one, which tells as much."""

    def after(self, said: Said, offset: int, epoch: int) -> Standing:
        """Once this message is read, too."""
        floor, newest = max(self.floor, said.floor), max(self.newest, said.version)
        return Standing(offset + 1, floor, newest, max(self.epoch, epoch))

    def committed(self, topic_id: str, position: Position) -> Committed:
        """As Kafka keeps it."""
        kept = f"position={position} floor={self.floor} newest={self.newest}"
        return Committed(self.offset, f"topic={topic_id} {kept}", self.epoch)


class Kept(NamedTuple):
    """What Kafka has kept of a partition."""

    standing: Standing
    topic_id: str
    """Empty where somebody else has said where the group is."""
    position: Position
    """What was durable then; NOWHERE likewise."""


def read_kept(committed: Committed) -> Kept:
    """What was said once."""
    found = _METADATA.fullmatch(committed.metadata)
    if found is None:
        return Kept(Standing(committed.offset, epoch=committed.epoch), "", NOWHERE)
    standing = Standing(committed.offset, int(found[3]), int(found[4]), committed.epoch)
    return Kept(standing, found[1], Position(int(found[2])))
