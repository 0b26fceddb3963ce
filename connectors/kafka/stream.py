"""Messages of topics -> the stream: each its own commit, numbered in the order of arrival.

Where each partition is, and what of it is durable; nothing is asked of Kafka here.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from cdc_daemon.events import NOWHERE, ChangeKind, Commit, OwnVersion, Watermark
from cdc_daemon.ports import PartReport
from connectors.kafka.standing import Standing
from connectors.kafka.topics import known_epoch
from connectors.messages.falls import WHY, Falls
from connectors.messages.fromstart import Reread
from connectors.messages.journal import Journal
from connectors.messages.marks import Marks
from connectors.messages.message import Message, Said
from connectors.messages.numbering import Numbering
from connectors.messages.transactions import Held, Transactions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cdc_daemon.events import Event, Position
    from connectors.kafka.member import Read
    from connectors.kafka.topics import Committed, Place
    from connectors.messages.reading import TopicReader

log = structlog.get_logger(__name__)

MILLISECONDS: Final = 1000
OVERHEAD_BYTES: Final = 500
"""What a message costs in memory beside its value."""


class Stream:
    """Of one source. The reader's thread calls it, but for what says otherwise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbering = Numbering()
        self._marks: Marks[Place] = Marks(self._numbering)
        self._journal: Journal[tuple[Place, Standing]] = Journal()
        self._standings: dict[Place, Standing] = {}
        """Of the partitions that are ours."""
        self._durable: dict[Place, tuple[Standing, Position]] = {}
        """What is to be committed."""
        self._readers: Mapping[str, TopicReader] = {}
        """By the topics; that of transactions has none."""
        self._transactions: Transactions[Place] | None = None
        self._falls: Falls[Place] = Falls()
        self._deleted: dict[Place, bytes | None] = {}
        """The key of the row that the last message deleted."""
        self._told = NOWHERE
        """The newest position that the pipeline knows to have come to."""
        self._begins: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        """What is read from the first message on: up to here."""
        self._reread_to: Position | None = None
        self.has_begun = False
        """Whether any partition has been ours."""
        self.wanted = False
        """Whether somebody wants all from the first message on, since `renew`."""
        self.truncated: dict[Place, int] = {}
        """Partitions of which the end that was read is lost, since `forget`, and what was next."""
        self._ages: dict[Place, float] = {}
        """When the last message of each was written."""
        self.messages = 0
        self.poison = 0

    @property
    def last(self) -> Position:
        """The newest position that was given. Any thread asks."""
        return self._numbering.last

    @property
    def standings(self) -> Mapping[Place, Standing]:
        """How far each partition is that is ours. Any thread asks."""
        with self._lock:
            return dict(self._standings)

    def begin(
        self,
        readers: Mapping[str, TopicReader],
        after: Position,
        transactions: Transactions[Place] | None = None,
    ) -> dict[Place, Standing]:
        """From just after `after`, by the topics; where partitions are, as far as that is known.

        `transactions`: messages wait there until all of their transaction has come.
        """
        with self._lock:
            self._transactions = transactions
            self._deleted = {}
            known = {place: standing for place, (standing, _) in self._durable.items()}
            known |= dict(self._journal.up_to(after))
            self._numbering.go_beyond(after, time.time())
            self._marks.forget()
            self._readers = readers
            self._told = after
            self._standings = {}
            return known

    @property
    def is_rereading(self) -> bool:
        """Whether that isn't over yet."""
        return self.wanted and self._reread_to is None

    def renew(self) -> None:
        """Read models may be others from now on: what was read before, those lack."""
        with self._lock:
            self.wanted = False
            self._begins, self._ends, self._reread_to = {}, {}, None

    def next_position(self) -> Position:
        """After all before."""
        with self._lock:
            return self._numbering.next(time.time())

    def add(self, standings: Mapping[Place, Standing]) -> None:
        """These partitions are ours."""
        with self._lock:
            self._standings |= standings
            self.has_begun = True

    def remove(self, places: Iterable[Place]) -> None:
        """These are others': whoever has them reads again what isn't committed."""
        with self._lock:
            for place in places:
                self._standings.pop(place, None)
                self._durable.pop(place, None)

    def forget(self) -> None:
        """All comes again from where it is said to be."""
        with self._lock:
            self._journal.forget()
            self._durable.clear()
            self.truncated.clear()

    def take(self, some: Iterable[Read]) -> list[Event]:
        """What the messages are in the stream."""
        events: list[Event] = []
        with self._lock:
            for read in some:
                standing = self._standings.get(read.place)
                if standing is None or read.offset < standing.offset:
                    continue
                if read.message is None:
                    self._standings[read.place] = standing._replace(offset=read.offset)
                else:
                    events += self._message(read, standing)
            events += self._whole()
            if (mark := self._marks.passed(self._reached())) is not None:
                self._told = mark
                events.append(Watermark(mark))
            self._look_whether_reread()
        return events

    def idle(self) -> list[Event]:
        """Nothing has come: what was given is told."""
        with self._lock:
            events = self._whole()
            if self._told < self._numbering.last:
                self._told = self._numbering.last
                events.append(Watermark(self._told))
            return events

    def incomplete(self) -> int:
        """Transactions that went on in parts. Any thread asks."""
        with self._lock:
            return 0 if self._transactions is None else self._transactions.incomplete

    @property
    def fallen(self) -> int:
        """Messages of which the version has fallen. Any thread asks."""
        return self._falls.total

    def parts(self, ends: Mapping[Place, int]) -> list[PartReport]:
        """How much of each partition waits, of what it had when it was looked at. Any thread."""
        with self._lock:
            return [
                PartReport(
                    f"{place.topic}/{place.partition}",
                    waiting := max(0, ends.get(place, 0) - standing.offset),
                    max(0.0, time.time() - self._ages.get(place, time.time())) if waiting else 0.0,
                )
                for place, standing in sorted(self._standings.items())
            ]

    def mark(self, ends: Mapping[Place, int]) -> Position:
        """What stands for all up to these offsets. Any thread asks."""
        with self._lock:
            return self._marks.set(ends, self._reached())

    def confirm(self, durable: Position) -> None:
        """What is durable may be committed."""
        with self._lock:
            for position, (place, standing) in self._journal.durable(durable):
                if place in self._standings:
                    self._durable[place] = (standing, position)

    def take_durable(self, ids: Mapping[str, str]) -> dict[Place, Committed]:
        """What is to be committed, by the ids of topics; it is forgotten here."""
        with self._lock:
            taken, self._durable = self._durable, {}
        return {
            place: standing._replace(offset=min(standing.offset, self._sent(place))).committed(
                ids[place.topic], position
            )
            for place, (standing, position) in taken.items()
        }

    def reread_from(self, begins: Mapping[Place, int], ends: Mapping[Place, int]) -> None:
        """All of these is read, from the first message on to where they end now."""
        with self._lock:
            self._begins, self._ends, self._reread_to = dict(begins), dict(ends), None
            self._look_whether_reread()

    def rewind(self, begins: Mapping[Place, int]) -> None:
        """Partitions are read from there once more."""
        with self._lock:
            self._journal.forget()
            self._durable.clear()
            if self._transactions is not None:
                self._transactions.forget()
            self._standings |= {place: Standing(offset) for place, offset in begins.items()}

    def reread(self) -> Reread:
        """How far that is. Any thread asks."""
        with self._lock:
            total = sum(end - self._begins.get(place, end) for place, end in self._ends.items())
            read = sum(
                min(self._sent(place), end) - self._begins.get(place, end)
                for place, end in self._ends.items()
            )
            return Reread(read, total, self._reread_to)

    def _message(self, read: Read, standing: Standing) -> list[Event]:
        now = time.time()
        message = _message(read, standing)
        said = self._said(read, message)
        self._look_whether_fallen(read, said, standing)
        self._standings[read.place] = standing.after(said, read.offset, _epoch(read))
        self.messages += 1
        self._ages[read.place] = message.time
        self.poison += bool(said.poison)
        if self._waits(read, message, said, now):
            return []
        return self._committed([Held(read.place, read.offset, said, 0)])

    def _look_whether_fallen(self, read: Read, said: Said, standing: Standing) -> None:
        if self._falls.look(read.place, said, standing.newest):
            log.warning(
                "versions_fell",
                topic=read.place.topic,
                partition=read.place.partition,
                offset=read.offset,
                version=said.lsn,
                newest=standing.newest,
                why=WHY,
            )

    def _said(self, read: Read, message: Message) -> Said:
        reader = self._readers.get(read.place.topic)
        if reader is None:
            return Said()
        if message.value is None and self._deleted.get(read.place, b"") == message.key:
            return Said()  # the tombstone behind a delete says nothing more
        said = reader.read(message)
        is_delete = bool(said.changes) and said.changes[0].kind is ChangeKind.DELETE
        self._deleted[read.place] = message.key if is_delete and message.key else b""
        return said

    def _waits(self, read: Read, message: Message, said: Said, now: float) -> bool:
        """Whether the message is kept until all of its transaction has come."""
        if self._transactions is None:
            return False
        held = Held(read.place, read.offset, said, len(message.value or b"") + OVERHEAD_BYTES)
        if read.place.topic not in self._readers:
            self._transactions.told(message.value, held, now)
            return True
        if said.transaction is None:
            if said.poison:
                self._transactions.pass_by(now)
            return False
        return self._transactions.hold(held, said.transaction.number, now)

    def _whole(self) -> list[Event]:
        """Transactions of which all has come."""
        if self._transactions is None:
            return []
        return [
            event
            for held in self._transactions.whole(time.time())
            for event in self._committed(held)
        ]

    def _committed(self, held: Sequence[Held[Place]]) -> list[Event]:
        """Changes and their commit; what says nothing is durable with what came before it."""
        changes = _changes(held)
        position = self._marks.next(time.time()) if changes else self._numbering.last
        for one in held:
            standing = self._standings.get(one.place)
            if standing is not None:
                after = standing._replace(offset=one.offset + 1)
                self._journal.add(position, (one.place, after))
        if not changes:
            return []
        self._told = position
        return [*changes, self._commit(held, position)]

    def _commit(self, held: Sequence[Held[Place]], position: Position) -> Commit:
        """What was there before counts from its reading on: nobody has waited for it."""
        last = held[-1]
        said_at = max(one.said.time for one in held)
        was_there = last.offset < self._ends.get(last.place, 0) and self._reread_to is None
        return Commit(
            position,
            time.time() if was_there or not said_at else said_at,
            position,
            next((one.said.traceparent for one in held if one.said.traceparent), ""),
            max(one.said.version for one in held) if _is_comparable(held) else 0,
        )

    def _sent(self, place: Place) -> int:
        """How far a partition is, but for what waits for the rest of its transaction."""
        standing = self._standings.get(place)
        reached = self._begins.get(place, 0) if standing is None else standing.offset
        held = None if self._transactions is None else self._transactions.first_held(place)
        return reached if held is None else min(reached, held)

    def _reached(self) -> dict[Place, int]:
        return {place: self._sent(place) for place in self._standings}

    def _look_whether_reread(self) -> None:
        if (
            self.wanted
            and self._ends
            and self._reread_to is None
            and all(self._sent(place) >= end for place, end in self._ends.items())
        ):
            self._reread_to = self._numbering.last


def _changes(held: Sequence[Held[Place]]) -> list[Event]:
    """With the version of each message, where they have no common one."""
    if _is_comparable(held):
        return [change for one in held for change in one.said.changes]
    events: list[Event] = []
    for one in held:
        if one.said.changes:
            events += [*one.said.changes, OwnVersion(one.said.version)]
    return events


def _is_comparable(held: Sequence[Held[Place]]) -> bool:
    """Whether the highest version can be that of all: places in one log can, and one alone.

    Offsets can't: each partition counts its own, and what comes next of a row would be lower.
    """
    said = [one.said for one in held if one.said.changes and not one.said.poison]
    return len(said) <= 1 or all(one.lsn for one in said)


def _message(read: Read, standing: Standing) -> Message:
    raw = read.message
    assert raw is not None  # noqa: S101 - the caller has looked
    topic, partition = read.place
    _, milliseconds = raw.timestamp()
    return Message(
        raw.key(),
        raw.value(),
        f"topic {topic}, partition {partition}, offset {read.offset}",
        number=read.offset + 1,
        time=milliseconds / MILLISECONDS,
        headers=_headers(raw.headers()),
        floor=standing.floor,
        newest=standing.newest,
    )


def _epoch(read: Read) -> int:
    """Messages of the oldest format have none."""
    return known_epoch(None if read.message is None else read.message.leader_epoch())


def _headers(raw: Any) -> dict[str, bytes]:
    """Of several with one name the last; librdkafka hands over pairs."""
    return {name: value or b"" for name, value in raw or ()}
