"""One of several replicas of a pipeline: what its seat in the group means for the reader."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Self

from cdc_daemon.errors import RetryError, ShareChangedError
from cdc_daemon.ports import Reached
from cdc_daemon.sharing.facts import Complete, complete, era_of, reached_of, worth_telling
from cdc_daemon.sharing.membership import Membership
from cdc_daemon.sharing.slots import ALL_SLOTS, Share, slot_of_address

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Mapping

    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Checkpoint, Position
    from cdc_daemon.ports import CheckpointStore, Group, Seat

HEARD_SECONDS: Final = 0.5
"""How often a stop is looked for until the group is heard of."""
CHECKPOINT_SECONDS: Final = 1.0
"""How often a replica that doesn't lead looks what the leader has made."""


class Part:
    """What a replica does in one start. The reader makes it; the group's thread looks at it."""

    def __init__(
        self,
        seat: Seat,
        checkpoint: Checkpoint,
        told: Mapping[int, Reached],
        joined: Collection[str],
        known_since: Position | None,
    ) -> None:
        """`joined`: the joined projections; `known_since` as in `knows_since`."""
        self.seat = seat
        self.era = era_of(checkpoint)
        self.uuids = {name: checkpoint.generations[name].uuid for name in joined}
        self._floor = checkpoint.position
        self._told = told
        self._since = known_since
        self._delivery: Delivery | None = None
        self._others_reached: Complete | None = None
        """What was said of others last."""
        takes = seat.leads or self.is_ready
        self.share = Share(seat.slots if takes else frozenset())
        """Documents of our slots are ours once all that isn't known here is in the sink."""

    def knows_since(self, position: Position | None) -> None:
        """All that is touched later is known here; None: rows are lacking still."""
        self._since = position

    @property
    def is_ready(self) -> bool:
        """Whether any document can be taken over."""
        return self._since is not None and self._since <= self.complete()

    def complete(self) -> Position:
        """Everything up to here is in the sink, whoever has written it."""
        return complete(self._told, self.era, self._floor).durable

    def durable(self, address: bytes) -> Position | None:
        """Up to where a document is in the sink; None where it is ours."""
        if self.share.owns_address(address):
            return None
        return reached_of(self._told, slot_of_address(address), self.era, self._floor).durable

    def follow(self, delivery: Delivery) -> None:
        """From now on this says how far we are, and gets to know how far others are."""
        delivery.owns = self.share.owns
        self._tell_others(delivery)
        self._delivery = delivery

    def heard(self, told: Mapping[int, Reached]) -> None:
        """Others have told how far they are."""
        self._told = told
        if self._delivery is not None:
            self._tell_others(self._delivery)

    def _tell_others(self, delivery: Delivery) -> None:
        others = ALL_SLOTS - self.share.slots
        reached = complete(self._told, self.era, self._floor, others)
        if others and reached != self._others_reached:
            self._others_reached = reached
            delivery.others_came_to(*reached)

    def news(self) -> Mapping[int, Reached]:
        """What is to be told: nothing while something is loaded, which may be another's soon."""
        delivery = self._delivery
        if delivery is None or delivery.progress.unpublished or delivery.progress.reread:
            return {}
        progress = delivery.progress
        now = Reached(self.era, progress.own_durable(), progress.own_searchable())
        return worth_telling(self._told, self.share.slots, now)

    @property
    def has_caught_up(self) -> bool:
        """Whether we have read all that is in the sink."""
        delivery = self._delivery
        return delivery is not None and delivery.progress.received >= self.complete()

    def end(self, why: str) -> None:
        """Another start would do right."""
        self.fail(ShareChangedError(why))

    def fail(self, error: BaseException) -> None:
        """The reader is to raise it."""
        if self._delivery is not None:
            self._delivery.fail(error)


class Unstored:
    """Checkpoints of a replica that doesn't lead: what counts is what the leader stores."""

    def load(self, pipeline: str) -> Checkpoint | None:
        """Nothing was stored."""

    def store(self, checkpoint: Checkpoint) -> None:
        """Let it go."""


class Replica:
    """Of one process, through all its starts."""

    def __init__(self, group: Group, checkpoints: CheckpointStore, pipeline: str) -> None:
        self._checkpoints = checkpoints
        self._pipeline = pipeline
        self._part: Part | None = None
        self._looked_at = 0.0
        self._failure: BaseException | None = None
        self.membership = Membership(group, self._news, self._heard, self._fail)

    def __enter__(self) -> Self:
        """Be in the group; leave it at the end."""
        self.membership.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the group."""
        self.membership.close()

    def wait_heard(self, stopping: threading.Event) -> None:
        """Until the group was heard of nobody knows what is in the sink; or until a stop."""
        while not (self.membership.wait_heard(HEARD_SECONDS) or stopping.is_set()):
            self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what has ended our part in the group."""
        if self._failure is not None:
            raise self._failure

    @property
    def leads(self) -> bool:
        """Whether it is for us to make what a pipeline needs, and to say how far all are."""
        return self.membership.seat.leads

    def complete(self, checkpoint: Checkpoint) -> Position:
        """Everything up to here is in the indices of a checkpoint."""
        told = self.membership.told
        return complete(told, era_of(checkpoint), checkpoint.position).durable

    def has_all(self) -> bool:
        """Whether all documents are ours."""
        return self.membership.seat.slots == ALL_SLOTS

    def begin(
        self, checkpoint: Checkpoint, joined: Collection[str], known_since: Position | None
    ) -> Part:
        """A start goes on from a checkpoint, with the seat that we have now; the rest as `Part`."""
        seat, told = self.membership.seat, self.membership.told
        self._part = Part(seat, checkpoint, told, joined, known_since)
        return self._part

    def end(self) -> None:
        """That start is over."""
        self._part = None

    def stand_back(self) -> None:
        """There is nothing yet that could be shared."""
        self.membership.take_part(leading=not self.membership.is_led, sharing=False)

    def show(self) -> dict[str, Any]:
        """For the status."""
        membership, part = self.membership, self._part
        return {
            "leads": membership.seat.leads,
            "slots": sorted(part.share.slots if part else ()),
            "members": membership.members,
            "rebalances": membership.rebalances,
        }

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        if self._part is not None:
            self._part.fail(error)

    def _news(self) -> Mapping[int, Reached]:
        part = self._part
        return {} if part is None else part.news()

    def _heard(self) -> None:
        part, membership = self._part, self.membership
        if part is None:
            self._be_there()
            return
        part.heard(membership.told)
        if membership.seat != part.seat:
            part.end("the group has given us other documents")
        elif part.seat.leads:
            membership.take_part(leading=True, sharing=True)
        elif self._is_left_behind(part):
            membership.take_part(leading=False, sharing=False)
            part.end("the leader makes other indices, or has made some")
        else:
            self._offer(part)

    def _be_there(self) -> None:
        """Before a start has come to anything: lead where nobody does."""
        membership = self.membership
        if membership.seat.leads:
            membership.take_part(leading=True, sharing=True)
        elif not membership.is_led:
            membership.take_part(leading=True, sharing=False)

    def _offer(self, part: Part) -> None:
        """Lead and share where nothing is unknown here that others may not have written yet."""
        ready = part.is_ready and part.has_caught_up
        sharing = ready or bool(part.share.slots)
        self.membership.take_part(leading=sharing or not self.membership.is_led, sharing=sharing)
        if sharing and part.share.slots != part.seat.slots:
            part.end("all is known here that others have not written yet")

    def _is_left_behind(self, part: Part) -> bool:
        """Whether the leader has begun with other indices than we."""
        now = time.monotonic()
        if now - self._looked_at < CHECKPOINT_SECONDS:
            return False
        self._looked_at = now
        try:
            kept = self._checkpoints.load(self._pipeline)
        except RetryError:
            return False
        return kept is None or bool(kept.loads or kept.building) or era_of(kept) != part.era
