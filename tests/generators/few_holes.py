"""A daemon for which a small table is too large: it remembers few documents that lack a value."""

from __future__ import annotations

from cdc_daemon.backfill import holes

FEW = 20


def remember_few() -> None:
    """What `RunningDaemon.start` takes."""
    setattr(holes, "MOST_HOLES", FEW)  # noqa: B010 - a constant, for all but tests
