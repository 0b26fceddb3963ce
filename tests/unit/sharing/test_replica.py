"""What the sink refuses to a replica: a reason to end, unless its seat is another's by now."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from cdc_daemon.errors import ShareChangedError, SinkError
from cdc_daemon.reaching import Reaching
from cdc_daemon.sharing.replica import Replica
from tests.generators.conditions import wait_until
from tests.generators.one_member import OneMember

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.ports import Shareable, Sink

REFUSED = "the index is gone"


class Both:
    """As much of a source and of a sink as a replica needs to have a seat."""

    def __init__(self) -> None:
        self.one = OneMember()

    def group(self, _: str) -> OneMember:
        """The one that there is."""
        return self.one

    def identity(self) -> str:
        """Always the same sink."""
        return "here"


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
