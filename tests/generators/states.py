"""States for tests: new ones, and what a start may find."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdc_daemon.events import Position
from cdc_daemon.state import Here, Home, boot_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.state import Store


def here(
    state_id: str = "", place: int | None = 0, checkpoint: int | None = None, boot: str = ""
) -> Here:
    """A start on this machine."""
    reached = None if checkpoint is None else Position(checkpoint)
    return Here(
        "pipe",
        "source-1",
        boot or boot_id(),
        None if place is None else Position(place),
        reached,
        state_id,
    )


@contextmanager
def new_store(folder: Path, most_bytes: int | None = None) -> Iterator[Store]:
    """A new state, closed at the end unless the test has done so."""
    home = Home(folder, most_bytes)
    try:
        store = home.create(here())
        yield store
        store.close()
    finally:
        home.close()


@contextmanager
def found_store(folder: Path, state_id: str = "") -> Iterator[Store]:
    """The state that is there; fails if a start would not go on with it."""
    home = Home(folder)
    try:
        store, decision = home.find(here(state_id), str)
        assert store is not None, decision
        yield store
        store.close()
    finally:
        home.close()
