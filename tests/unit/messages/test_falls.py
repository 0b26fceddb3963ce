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


def change(lsn: int, commit_before: int, time: float) -> Said:
    """Of a transaction."""
    return Said(lsn=lsn, commit_before=commit_before, time=time)


def test_a_server_that_is_a_little_behind_is_told_by_its_second_transaction() -> None:
    """Its commits, one after the other, are older than what was read of the one before."""
    falls: Falls[str] = Falls()
    falls.look("a", change(5000, 4900, 10.0), 0)
    assert not falls.look("a", change(3000, 2900, 11.0), 5000)
    assert not falls.look("a", change(3010, 2900, 11.0), 5000)  # of the same transaction
    assert falls.look("a", change(3100, 3050, 12.0), 5000)
    assert falls.total == 1


def test_the_rest_of_a_transaction_is_no_fall() -> None:
    """Where we begin in the middle of it, and where what is said of the commit before is old."""
    falls: Falls[str] = Falls()
    assert not falls.look("a", change(5010, 4900, 10.0), 5000)
    assert not falls.look("a", change(5100, 5050, 11.0), 5010)
    assert not falls.look("a", change(5200, 5050, 12.0), 5100)
    assert not falls.look("a", change(5300, 5250, 13.0), 5200)
    assert falls.total == 0
