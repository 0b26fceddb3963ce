"""What a replica makes of its seat: of what the sink refuses, and of what the group gives it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from cdc_daemon.errors import ShareChangedError, SinkError
from cdc_daemon.events import Checkpoint, Generation, Position
from cdc_daemon.reaching import Reaching
from cdc_daemon.sharing.replica import Replica
from cdc_daemon.sharing.slots import ALL_SLOTS
from tests.generators.conditions import wait_until
from tests.generators.one_member import OneMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.ports import Shareable, Sink

REFUSED = "the index is gone"
KEPT = Checkpoint("hotels", Position(7), "s", {"hotels": Generation("hotels", "hotels", "u", "")})


class Both:
    """As much of a source and of a sink as a replica needs to have a seat."""

    def __init__(self, one: OneMember | None = None) -> None:
        self.one = one or OneMember()
        self.checkpoints = self

    def group(self, _: str) -> OneMember:
        """The one that there is."""
        return self.one

    def identity(self) -> str:
        """Always the same sink."""
        return "here"

    def load(self, _: str) -> Checkpoint:
        """What the leader has stored."""
        return KEPT


class Follower(OneMember):
    """Another one leads."""

    def take_part(self, *, leading: bool, sharing: bool) -> None:
        """It has the slots that it wants."""
        del leading
        super().take_part(leading=False, sharing=sharing)

    def is_led(self) -> bool:
        """By the other one."""
        return True


@pytest.fixture
def both() -> Both:
    """A group, and a sink."""
    return Both()


@pytest.fixture
def replica(both: Both) -> Iterator[Replica]:
    """It has everything."""
    with Replica(cast("Shareable", both), cast("Sink", both), "hotels") as made:
        with made.joined(Reaching(), threading.Event()):
            assert wait_until(made.has_all)
        yield made


def refuse(replica: Replica, before: Callable[[], None] = lambda: None) -> None:
    """While it is joined."""
    with replica.joined(Reaching(), threading.Event()):
        before()
        raise SinkError(REFUSED)


def test_what_the_sink_refuses_ends_a_replica_that_has_its_seat(replica: Replica) -> None:
    """An index that somebody has deleted, say: nobody else would do better."""
    with pytest.raises(SinkError, match=REFUSED):
        refuse(replica)


def test_who_has_lost_its_seat_starts_again(replica: Replica, both: Both) -> None:
    """It was frozen: the sink has refused it before it has heard of the group."""
    with pytest.raises(ShareChangedError, match=REFUSED):
        refuse(replica, both.one.lose)


def test_who_does_not_know_all_gives_up_the_slots_that_it_was_given() -> None:
    """It has wanted them for other indices: nobody else would write what is in them."""
    both = Both(Follower())
    with Replica(cast("Shareable", both), cast("Sink", both), "hotels") as replica:
        member = replica.membership
        with replica.joined(Reaching(), threading.Event()):
            member.take_part(leading=False, sharing=True)
            assert wait_until(replica.has_all)
            assert replica.begin(KEPT, ["hotels"], KEPT.position).share.slots == ALL_SLOTS
            later = Position(KEPT.position + 1)
            assert not replica.begin(KEPT, ["hotels"], later).share.slots
            assert wait_until(lambda: not member.seat.slots)
