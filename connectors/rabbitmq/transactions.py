"""Messages as transactions: each is one, but for those that may come again. Pure.

What comes again after a connection was lost is the end of what came before, in the same order. As
one transaction it shows nothing that is older than what was written of it already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cdc_daemon.events import Commit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cdc_daemon.events import Event
    from connectors.messages.message import Said
    from connectors.rabbitmq.deliveries import Arrived, Delivery


class Reads(Protocol):
    """Reads messages."""

    def read(self, delivery: Delivery) -> Said:
        """What one says."""


class Transactions:
    """Of one connection."""

    def __init__(self, reads: Reads, returning: Collection[str]) -> None:
        self._reads = reads
        self._returning = set(returning)
        """The queues of which messages may come that came before."""
        self._commit: Commit | None = None
        """The end of the transaction that isn't over."""

    @property
    def is_open(self) -> bool:
        """Whether the last transaction isn't over."""
        return self._commit is not None

    def add(self, arrived: Arrived) -> Iterator[Event]:
        """What a message makes of it."""
        said = self._reads.read(arrived.delivery)
        if said.version and self._commit is not None:
            yield self._commit
        yield from said.changes
        position = arrived.position
        self._commit = Commit(position, said.time, position, said.traceparent, said.version)
        if not arrived.delivery.redelivered:
            self._returning.discard(arrived.delivery.queue)
        if said.version or not self._returning:
            yield self._commit
            self._commit = None

    def end(self) -> Iterator[Event]:
        """Nothing more comes again."""
        self._returning.clear()
        if self._commit is not None:
            yield self._commit
            self._commit = None
