"""Which slot a document is in, and which documents are ours. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from zlib import crc32

from cdc_daemon.delivery.addresses import parted
from cdc_daemon.ports import SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.projection.flat import FlatProjection

ALL_SLOTS: Final = frozenset(range(SLOTS))


def slot_of(document_id: bytes) -> int:
    """The slot of a document, by its id as a JSON string: the same in every process, for ever.

    Without its routing: what was routed elsewhere before has the same owner.
    """
    return crc32(document_id) % SLOTS


def slot_of_address(address: bytes) -> int:
    """The same by its address, which has the routing as well."""
    return slot_of(parted(address)[0])


@dataclass(frozen=True, slots=True)
class Share:
    """The documents that one replica writes."""

    slots: frozenset[int]

    @property
    def is_all(self) -> bool:
        """Whether nobody else writes any."""
        return self.slots == ALL_SLOTS

    def owns(self, document_id: bytes) -> bool:
        """Whether the document is ours, by its id as a JSON string."""
        return crc32(document_id) % SLOTS in self.slots

    def owns_address(self, address: bytes) -> bool:
        """The same by its address."""
        return slot_of_address(address) in self.slots

    def made(self, projection: FlatProjection) -> FlatProjection:
        """What makes our documents, and spares itself the others."""
        return projection if self.is_all else projection.shared(self.owns)

    def own(self, contents: Iterable[Content]) -> Iterable[Content]:
        """Those of documents that are ours."""
        if self.is_all:
            return contents
        return (content for content in contents if self.owns_address(content[0]))


EVERYTHING: Final = Share(ALL_SLOTS)
