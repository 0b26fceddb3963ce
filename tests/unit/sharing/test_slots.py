from __future__ import annotations

from cdc_daemon.ports import SLOTS
from cdc_daemon.sharing.slots import ALL_SLOTS, Share, slot_of


def test_a_slot_is_the_same_for_ever() -> None:
    """Documents keep their slots from one version to the next: others may run an older one."""
    assert [slot_of(b'"%d"' % number) for number in range(4)] == [11, 10, 9, 8]


def test_documents_are_spread_over_all_slots() -> None:
    """None of the slots has twice what it should."""
    found = [0] * SLOTS
    for number in range(SLOTS * 100):
        found[slot_of(b'"%d"' % number)] += 1
    assert min(found) > 50
    assert max(found) < 200


def test_routing_has_no_part_in_it() -> None:
    """Whoever deletes a document that was routed elsewhere before is who writes it now."""
    share = Share(frozenset({slot_of(b'"a"')}))
    assert share.owns_address(b'"a""one"')
    assert share.owns_address(b'"a""two"')


def test_a_share_of_all_slots_is_all() -> None:
    """Nobody else writes then."""
    assert Share(ALL_SLOTS).is_all
    assert not Share(ALL_SLOTS - {0}).is_all
