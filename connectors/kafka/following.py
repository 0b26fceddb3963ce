"""The stream as it runs: a member of the group, its partitions, and what is committed of them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import CdcError, RetryError, SlotInUseError, StartAgainError
from connectors.kafka.member import Member, is_left
from connectors.kafka.standing import Standing, read_kept
from connectors.kafka.topics import Committed
from connectors.messages.avro import schema_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cdc_daemon.events import Event, Position
    from connectors.kafka.config import KafkaConfig
    from connectors.kafka.followed import Followed
    from connectors.kafka.member import Read
    from connectors.kafka.registry import Registry
    from connectors.kafka.stream import Stream
    from connectors.kafka.topics import Place, Topics

log = structlog.get_logger(__name__)

WAKE_SECONDS: Final = 0.05
"""Whoever wakes a read waits no longer: the client has nothing that would wake it."""
COMMIT_SECONDS: Final = 1.0
"""How often offsets are committed: as often as the checkpoint is stored that they follow."""
JOIN_SECONDS: Final = 60.0
"""Longer than a member counts that has died, and a rebalance takes."""


class Following:
    """Of one source. The reader's thread owns it, but for `wake`, `from_start` and `fail`."""

    def __init__(  # noqa: PLR0913 - what it is made of, each by its name
        self,
        config: KafkaConfig,
        topics: Topics,
        stream: Stream,
        *,
        group: str,
        followed: Followed,
        registry: Registry | None,
        known: Mapping[Place, Standing],
        whole: bool,
    ) -> None:
        """`known`: where partitions are, whatever was committed. `whole`: all must be ours."""
        self._topics = topics
        self._stream = stream
        self._group = group
        self._registry = registry
        self.followed = followed
        self._ids = followed.ids
        self._known = known
        self._whole = whole
        self._places = followed.places
        self._began = time.monotonic()
        self._committed_at = 0.0
        self._woken = threading.Event()
        self._wanted = stream.is_rereading
        """Whether all is to be read from the first message on."""
        self._is_fresh = True
        """Whether each partition was begun there."""
        self._failure: CdcError | None = None
        self.rebalances = 0
        self.ends: Mapping[Place, int] = {}
        """Where partitions ended when the clock looked last."""
        self._member = Member(
            config,
            group=group,
            client_id=group,
            topics=sorted(followed.topics),
            assigned=self,
        )

    def assigned(self, places: Sequence[Place]) -> dict[Place, Committed]:
        """These are ours: read on from what is known of each, or was committed."""
        self.rebalances += bool(places)
        committed = self._topics.committed(self._group, places)
        kept = {place: read_kept(one) for place, one in committed.items()}
        begins = self._topics.begins(places)
        ends = self._topics.ends(places)
        standings = {}
        for place in places:
            said = kept.get(place)
            standing = Standing(begins[place])
            if place in self._known:
                standing = self._known[place]
            elif said is not None and said.topic_id in {"", self._ids[place.topic]}:
                standing = said.standing
            _require_kept(place, standing, begins[place], ends[place])
            standings[place] = standing
        self._known = {place: one for place, one in self._known.items() if place not in standings}
        self._is_fresh = self._is_fresh and all(
            standings[place].offset <= begins[place] for place in places
        )
        self._stream.add(standings)
        self._wanted = self._stream.is_rereading and bool(places)
        log.info("partitions_assigned", partitions=len(places), of=len(self._places))
        return {
            place: Committed(standing.offset, epoch=standing.epoch)
            for place, standing in standings.items()
        }

    def revoked(self, places: Sequence[Place]) -> None:
        """What is durable is committed; who has them next reads the rest again, harmlessly."""
        self.rebalances += bool(places)
        self._commit(wait=True)
        self._stream.remove(places)
        log.info("partitions_revoked", partitions=len(places))

    def lost(self, places: Sequence[Place]) -> None:
        """They are others' already."""
        self._stream.remove(places)
        log.warning("partitions_lost", partitions=len(places))

    def truncated(self, place: Place) -> None:
        """The next start loads anew: its offset may be there again by then."""
        standing = self._stream.standings.get(place)
        self._stream.truncated[place] = 0 if standing is None else standing.offset

    def read(self, timeout_seconds: float) -> list[Event]:
        """What has come; empty after the timeout, or once it is woken."""
        until = time.monotonic() + timeout_seconds
        while True:
            if self._failure is not None:
                raise self._failure
            self._read_again()
            left = max(0.0, until - time.monotonic())
            some = self._member.poll(min(left, WAKE_SECONDS))
            self._learn(some)
            events = self._stream.take(some) if some else self._stream.idle()
            if events or self._woken.is_set() or time.monotonic() >= until:
                self._woken.clear()
                self._require_whole()
                return events

    def confirm(self, durable: Position) -> None:
        """Commit what is durable, now and then."""
        self._stream.confirm(durable)
        if time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self._commit(wait=False)

    def wake(self) -> None:
        """Make a read return. Any thread calls it."""
        self._woken.set()

    def from_start(self) -> None:
        """Have all read from the first message on. Any thread calls it."""
        self._wanted = True

    def fail(self, failure: CdcError) -> None:
        """Another thread has seen why this can't go on."""
        self._failure = failure
        self._woken.set()

    def close(self) -> None:
        """Commit what is durable, and leave the group."""
        try:
            self._commit(wait=True)
        except CdcError as error:
            log.warning("offsets_not_committed", error=str(error))
        self._member.close()

    def _learn(self, some: Sequence[Read]) -> None:
        """The schemas of messages, before they are understood: nothing is taken without them."""
        if self._registry is not None:
            messages = [read.message for read in some if read.message is not None]
            parts = [part for one in messages for part in (one.key(), one.value())]
            self._registry.learn({id_ for part in parts if (id_ := schema_id(part)) is not None})

    def _commit(self, *, wait: bool) -> None:
        self._committed_at = time.monotonic()
        if offsets := self._stream.take_durable(self._ids):
            try:
                self._member.commit(offsets, wait=wait)
            except CdcError as error:
                if not is_left(error):
                    raise
                log.warning("offsets_not_committed", error=str(error))

    def _read_again(self) -> None:
        """Where somebody wants all from the first message on, once the partitions are ours."""
        standings = self._stream.standings
        if not self._wanted or not standings:
            return
        self._wanted = False
        places = list(standings)
        begins, ends = self._topics.begins(places), self._topics.ends(places)
        if not self._is_fresh:
            self._stream.rewind(begins)
            self._member.seek(begins)
            self._is_fresh = True
            log.info("topics_read_again", messages=sum(ends.values()) - sum(begins.values()))
        self._stream.reread_from(begins, ends)

    def _require_whole(self) -> None:
        """Joined read models need all partitions in one process."""
        if not self._whole or len(self._stream.standings) >= len(self._places):
            self._began = time.monotonic()
        elif time.monotonic() - self._began > JOIN_SECONDS:
            others = ", ".join(self._topics.members(self._group))
            raise SlotInUseError(
                f"joined read models need all {len(self._places)} partitions in one process, and "
                f"{len(self._stream.standings)} of them are ours: group {self._group} has the "
                f"members {others}. Stop the others, or give this pipeline a `group` of its own"
            )


def _require_kept(place: Place, standing: Standing, begin: int, end: int) -> None:
    where = f"partition {place.partition} of topic {place.topic}"
    if standing.offset < begin:
        raise StartAgainError(
            f"{where} begins with offset {begin} by now, and {standing.offset} is next: its "
            "retention has passed us"
        )
    if standing.offset > end:
        raise StartAgainError(
            f"{where} ends with offset {end}, and {standing.offset} is next: it isn't what it was"
        )


def gone(topic: str) -> RetryError:
    """A topic that was there isn't."""
    return RetryError(
        f"topic {topic} is gone. Make it again, and all is read from its beginning; or take its "
        "table out of the configuration",
        reason="topic_gone",
    )
