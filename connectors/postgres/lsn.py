"""Positions of the log as PostgreSQL writes them. Pure."""

from __future__ import annotations

from cdc_daemon.events import Position


def parse_lsn(text: str) -> Position:
    """`16/B374D848` as a number."""
    high, low = text.split("/")
    return Position((int(high, 16) << 32) + int(low, 16))


def format_lsn(position: int) -> str:
    """The number as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
