"""Versions that fall, as those of another server do."""

from __future__ import annotations

from connectors.messages.falls import FAR_BYTES, Falls
from connectors.messages.message import Said

NEWEST = 100 * FAR_BYTES


def test_a_later_change_of_a_far_lower_version_is_of_another_server() -> None:
    """Each counts, and the first of each place is told."""
    falls: Falls[str] = Falls()
    assert not falls.look("a", Said(lsn=NEWEST, time=10.0), 0)
    assert falls.look("a", Said(lsn=99, time=11.0), NEWEST)
    assert not falls.look("a", Said(lsn=100, time=12.0), NEWEST)
    assert falls.look("b", Said(lsn=100, time=12.0), NEWEST)
    assert falls.total == 3


def test_what_a_connector_sends_again_is_no_fall() -> None:
    """It was committed before what has come since."""
    falls: Falls[str] = Falls()
    falls.look("a", Said(lsn=99, time=9.0), 0)
    falls.look("a", Said(lsn=NEWEST, time=10.0), 99)
    assert not falls.look("a", Said(lsn=99, time=9.0), NEWEST)
    assert falls.total == 0


def test_a_transaction_that_took_long_is_no_fall() -> None:
    """It wrote before what others have committed; nor is one what brings no place in a log."""
    falls: Falls[str] = Falls()
    falls.look("a", Said(lsn=NEWEST, time=10.0), 0)
    assert not falls.look("a", Said(lsn=NEWEST - FAR_BYTES, time=11.0), NEWEST)
    assert not falls.look("a", Said(version=5, time=12.0), NEWEST)
    assert falls.total == 0
