"""A message as it comes, as it is parsed, and what it says of rows."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.events import Change
    from connectors.messages.debeziumvalues import Schema


class MessageError(Exception):
    """The message isn't what it is expected to be."""

    def __init__(self, reason: str, explanation: str) -> None:
        super().__init__(explanation)
        self.reason = reason
        """A short class of error, to count by."""


class Message(NamedTuple):
    """As it comes."""

    key: bytes | None
    value: bytes | None
    """None: what had this key is gone."""
    where: str
    """For people: `topic shop.public.hotel, partition 0, offset 17`."""
    number: int = 0
    """Its place in the order of the topic, from 1 on; 0 where there is none."""
    time: float = 0.0
    """When it was written, in seconds since the epoch."""
    headers: Mapping[str, bytes] = MappingProxyType({})
    floor: int = 0
    """`Said.floor` of the messages before it, the highest."""
    newest: int = 0
    """`Said.version` of the messages before it, the highest."""


class Parsed(NamedTuple):
    """Its JSON; the parts that a converter has wrapped with their schemas are unwrapped."""

    key: Any
    value: Any
    key_schema: Schema | None
    value_schema: Schema | None
    message: Message


class Transaction(NamedTuple):
    """The transaction of the database that a change belongs to."""

    number: str
    order: int
    """From 1 on, over all tables."""


class Said(NamedTuple):
    """What a message says."""

    changes: tuple[Change, ...] = ()
    version: int = 0
    """That of the documents; 0: the position."""
    time: float = 0.0
    """When it was committed, or written; seconds since the epoch."""
    traceparent: str = ""
    transaction: Transaction | None = None
    floor: int = 0
    """Of existing rows that a connector has read: what it streams afterwards is newer, also where
    it was written before."""
    lsn: int = 0
    """Where in the log of its server it is, or ended the commit before it, as an envelope says; 0
    where versions are others."""
    commit_before: int = 0
    """Where in that log the transaction before it ended, as an envelope says."""
    poison: str = ""
    """Why it isn't understood, as a short word; then the change is a row that can't be read."""
