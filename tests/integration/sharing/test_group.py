"""Replicas as consumer groups of a real Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.errors import RetryError
from cdc_daemon.events import Position
from cdc_daemon.ports import NOTHING, SLOTS, Reached
from connectors.kafka.session import KafkaSection
from connectors.relay.group import RelayGroup
from tests.generators.running_daemon import until

if TYPE_CHECKING:
    from cdc_daemon.embedded import KafkaServer

LOOK_SECONDS = 0.05

Join = Callable[..., RelayGroup]


@pytest.fixture
def join(kafka: KafkaServer, request: pytest.FixtureRequest) -> Iterator[Join]:
    """Make members of this test's group, or of the one of its name that writes elsewhere."""
    section = KafkaSection(bootstrap_servers=kafka.bootstrap_servers)
    made: list[RelayGroup] = []

    def one(sink: str = "here") -> RelayGroup:
        made.append(RelayGroup(section, request.node.name, sink))
        return made[-1]

    yield one
    for member in made:
        member.close()


def both_have(members: list[RelayGroup]) -> bool:
    """Whether every slot is somebody's, nobody is left out, and one leads."""
    seats = [one.look(LOOK_SECONDS) for one in members]
    slots = sorted(slot for seat in seats for slot in seat.slots)
    has_all = slots == list(range(SLOTS)) and all(seat.slots for seat in seats)
    return has_all and sum(seat.leads for seat in seats) == 1


def answers(member: RelayGroup) -> bool:
    """Whether the cluster says anything of groups: where it has just begun that takes long."""
    try:
        return member.is_led() or True
    except RetryError:
        return False


def test_members_divide_what_there_is(join: Join) -> None:
    """Whoever leaves gives all of it to the others, and what was told of it stays."""
    first, second = join(), join()
    until(lambda: answers(first), 60, "the cluster knows groups")
    assert not first.is_led()
    assert first.members() == 0
    for one in (first, second):
        one.take_part(leading=True, sharing=True)
    until(lambda: both_have([first, second]), 60, "both have slots")
    assert first.is_led()
    assert first.members() == 2
    slot = min(second.look(LOOK_SECONDS).slots)
    told = Reached("era", Position(7), Position(5))
    second.tell({slot: told})
    assert first.told() == {slot: told}
    second.close()
    until(lambda: both_have([first]), 60, "one has all")
    assert first.told() == {slot: told}


def test_who_is_there_for_nothing_has_nothing(join: Join) -> None:
    """A replica that loads its state hears the others, and is given no documents."""
    first, second = join(), join()
    first.take_part(leading=True, sharing=True)
    until(lambda: both_have([first]), 60, "one has all")
    assert second.look(LOOK_SECONDS) == NOTHING
    second.tell({0: Reached("era", Position(1), Position(1))})
    assert second.told() == {}
    first.take_part(leading=False, sharing=False)
    assert first.look(LOOK_SECONDS) == NOTHING


def test_who_writes_into_another_sink_is_of_another_group(join: Join) -> None:
    """Production and staging may have one name: each of them writes all documents."""
    ours, theirs = join(), join("there")
    for one in (ours, theirs):
        one.take_part(leading=True, sharing=True)
    until(lambda: both_have([ours]) and both_have([theirs]), 60, "each has all")
    assert (ours.members(), theirs.members()) == (1, 1)
    slot_told = {0: Reached("era", Position(7), Position(5))}
    ours.tell(slot_told)
    assert ours.told() == slot_told
    assert theirs.told() == {}
