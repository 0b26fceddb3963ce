"""What a replica does in one start: which documents it writes, and what it tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import ShareChangedError
from cdc_daemon.events import NOWHERE
from cdc_daemon.ports import Reached, Word
from cdc_daemon.sharing.facts import Complete, complete, era_of, reached_of, worth_telling
from cdc_daemon.sharing.membership import MUTE, NOTHING_SAID, Said
from cdc_daemon.sharing.slots import ALL_SLOTS, Share, slot_of_address

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Checkpoint, Position
    from cdc_daemon.sharing.membership import Membership


class Part:
    """Of one start. The reader makes it; the group's thread looks at it."""

    def __init__(
        self,
        membership: Membership,
        checkpoint: Checkpoint,
        joined: Collection[str],
        known_since: Position | None,
    ) -> None:
        """`joined`: the joined projections; `known_since` as in `knows_since`."""
        seat = self.seat = membership.seat
        self._is_current = membership.is_current
        self._over = ""
        """Why another start would do right."""
        self.era = era_of(checkpoint)
        self.uuids = {name: checkpoint.generations[name].uuid for name in joined}
        self._source_id = checkpoint.source_id
        memberships = checkpoint.memberships
        self._table = min(memberships, default="")
        self._membership = memberships.get(self._table, "")
        self._floor = checkpoint.position
        self._told = membership.told
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
        delivery.require_ours = self.require_ours
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

    def said(self) -> Said:
        """What commits that wait get to know: what one daemon alone would confirm to them."""
        delivery = self._delivery
        if delivery is None or self._over:
            return NOTHING_SAID
        if not delivery.monitor.strong.is_expected:
            return MUTE
        progress, strong = delivery.progress, delivery.monitor.strong
        received = progress.received
        awaited = [index for name, index in delivery.indices.items() if name not in strong.excluded]
        is_whole = progress.unpublished.isdisjoint(awaited)
        searchable = progress.searchable_of(awaited)
        if searchable == NOWHERE:
            word = None
        else:
            word = Word(self._source_id, searchable, is_whole, self._table, self._membership)
        return Said(word, is_awaited=strong.waited_for, is_behind=searchable < received)

    def require_ours(self) -> None:
        """Raise ShareChangedError where what is held may have been another's for long."""
        if self._over:
            raise ShareChangedError(self._over)
        if not self._is_current():
            raise ShareChangedError("the group was not heard of for long: it may have given others")

    def end(self, why: str) -> None:
        """Another start would do right: nothing that is held is written any more."""
        self._over = why
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
