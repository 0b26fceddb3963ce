"""Messages of topics -> the stream: each its own commit, numbered in the order of arrival.

Where each partition is, and what of it is durable; nothing is asked of Kafka here.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.events import NOWHERE, Commit, Watermark
from connectors.kafka.standing import Standing
from connectors.messages.fromstart import Reread
from connectors.messages.journal import Journal
from connectors.messages.marks import Marks
from connectors.messages.message import Message
from connectors.messages.numbering import Numbering

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cdc_daemon.events import Event, Position
    from connectors.kafka.member import Read
    from connectors.kafka.topics import Committed, Place
    from connectors.messages.message import Said
    from connectors.messages.reading import TopicReader

MILLISECONDS: Final = 1000


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
        self._told = NOWHERE
        """The newest position that the pipeline knows to have come to."""
        self._begins: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        """What is read from the first message on: up to here."""
        self._reread_to: Position | None = None
        self.wanted = False
        """Whether somebody wants all from the first message on, since `renew`."""
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

    def begin(self, readers: Mapping[str, TopicReader], after: Position) -> dict[Place, Standing]:
        """From just after `after`, by the topics; where partitions are, as far as that is known."""
        with self._lock:
            known = {place: standing for place, (standing, _) in self._durable.items()}
            known |= dict(self._journal.up_to(after))
            self._numbering.go_beyond(after, time.time())
            self._marks.forget()
            self._readers = readers
            self._told = after
            self._standings = {}
            return known

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
            if (mark := self._marks.passed(self._reached())) is not None:
                self._told = mark
                events.append(Watermark(mark))
            self._look_whether_reread()
        return events

    def idle(self) -> list[Event]:
        """Nothing has come: what was given is told."""
        with self._lock:
            if self._told >= self._numbering.last:
                return []
            self._told = self._numbering.last
            return [Watermark(self._told)]

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
            place: standing.committed(ids[place.topic], position)
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
            self._standings |= {place: Standing(offset) for place, offset in begins.items()}

    def reread(self) -> Reread:
        """How far that is. Any thread asks."""
        with self._lock:
            total = sum(end - self._begins.get(place, end) for place, end in self._ends.items())
            read = sum(
                min(self._offset(place), end) - self._begins.get(place, end)
                for place, end in self._ends.items()
            )
            return Reread(read, total, self._reread_to)

    def _message(self, read: Read, standing: Standing) -> list[Event]:
        now = time.time()
        message = _message(read, standing)
        said = self._readers[read.place.topic].read(message)
        standing = standing.after(said, read.offset)
        self._standings[read.place] = standing
        self.messages += 1
        self.poison += bool(said.poison)
        if not said.changes:
            self._journal.add(self._numbering.last, (read.place, standing))
            return []
        position = self._marks.next(now)
        self._journal.add(position, (read.place, standing))
        self._told = position
        return [*said.changes, self._commit(read, position, said, now)]

    def _commit(self, read: Read, position: Position, said: Said, now: float) -> Commit:
        """What was there before counts from its reading on: nobody has waited for it."""
        was_there = read.offset < self._ends.get(read.place, 0) and self._reread_to is None
        committed = now if was_there or not said.time else said.time
        return Commit(position, committed, position, said.traceparent, said.version)

    def _reached(self) -> dict[Place, int]:
        return {place: standing.offset for place, standing in self._standings.items()}

    def _offset(self, place: Place) -> int:
        standing = self._standings.get(place)
        return self._begins.get(place, 0) if standing is None else standing.offset

    def _look_whether_reread(self) -> None:
        if (
            self.wanted
            and self._ends
            and self._reread_to is None
            and all(self._offset(place) >= end for place, end in self._ends.items())
        ):
            self._reread_to = self._numbering.last


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


def _headers(raw: Any) -> dict[str, bytes]:
    """Of several with one name the last; librdkafka hands over pairs."""
    return {name: value or b"" for name, value in raw or ()}
