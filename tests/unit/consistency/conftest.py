"""Somewhere to wait."""

from __future__ import annotations

import pytest

from tests.generators.waiting_room import Room


@pytest.fixture
def room() -> Room:
    """Nobody waits."""
    return Room()
