"""What a slot's state means: a sentence for each thing that a person has to know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cdc_daemon.ports import RetentionBounds
from connectors.postgres.slotstate import SlotState, meanings

WELL = SlotState(
    slot="cdc_shop",
    plugin="pgoutput",
    database="shop",
    here=True,
    active=True,
    active_pid=1,
    application="cdc-daemon:shop",
    restart_lsn="0/1",
    confirmed_flush_lsn="0/2",
    retained_bytes=10,
    unconfirmed_bytes=5,
    wal_status="reserved",
    safe_wal_size=None,
    invalidation_reason=None,
    inactive_since=None,
    catalog_xmin_age=10,
    two_phase=False,
    failover=False,
    synced=False,
    temporary=False,
)
BOUNDS = RetentionBounds(100, 1000, 5000)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, []),
        ({"active": False}, ["nobody reads it, and"]),
        ({"active": False, "inactive_since": "2026"}, ["nobody reads it since 2026, and"]),
        ({"wal_status": "lost"}, ["it is lost (wal_removed)"]),
        ({"invalidation_reason": "idle_timeout"}, ["it is lost (idle_timeout)"]),
        ({"invalidation_reason": "of_a_later_version"}, ["it is lost (of_a_later_version)"]),
        ({"wal_status": "unreserved"}, ["it is about to be lost"]),
        ({"retained_bytes": 999}, ["it keeps 999 bytes, and source.wal.warn is 100"]),
        ({"retained_bytes": 1000}, ["it keeps 1,000 bytes, and source.wal.critical is 1,000"]),
        ({"retained_bytes": 5000}, ["it keeps 5,000 bytes, and source.wal.limit is 5,000"]),
        ({"plugin": None}, ["it is physical, not the daemon's"]),
        ({"here": False}, ["it is a pgoutput slot of database shop"]),
        ({"plugin": "wal2json"}, ["it is a wal2json slot of database shop"]),
        ({"catalog_xmin_age": 10**8}, ["VACUUM can't clean"]),
        ({"synced": True}, ["it is a copy of the primary's slot"]),
        ({"temporary": True}, ["it is temporary"]),
        (
            {"retained_bytes": 10**9, "active": False},
            ["nobody reads it", "it keeps 1,000,000,000", "999,999,995 bytes are kept for a tran"],
        ),
    ],
)
def test_meanings(changes: dict[str, Any], says: list[str]) -> None:
    """Nothing where all is well; otherwise each begins with what it is."""
    said = list(meanings(replace(WELL, **changes), BOUNDS))
    assert len(said) == len(says)
    for sentence, beginning in zip(said, says, strict=True):
        assert sentence.startswith(beginning)
