"""What a start does with the state that it finds: goes on, or loads it anew. Pure.

C is what the source's slot says is confirmed, K the checkpoint in the sink, S where the state is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cdc_daemon.events import NOWHERE
from cdc_daemon.state.mark import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Position
    from cdc_daemon.state.mark import Mark


@dataclass(frozen=True, slots=True)
class Here:
    """Where the daemon starts."""

    pipeline: str
    source_id: str
    boot_id: str
    place: Position | None
    """C: from here on the source has the changes; None where it keeps no place for us."""
    checkpoint: Position | None
    """K; None where there is no checkpoint."""
    checkpoint_state_id: str
    """The state that the checkpoint goes with; empty where there is none."""
    checkpoint_source_id: str = ""
    """The history of the source that the checkpoint is of."""
    shared: Position = NOWHERE
    """Up to where that history is the source's own."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """The state is as it was left."""

    ask_from: Position
    """Where the stream is to begin."""
    applied: Position
    """S: what ends at or below it is in the state already."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The state is given up, and loaded anew."""

    reason: str


Decision: TypeAlias = GoOn | Rebuild


def reason_not_to_open(mark: Mark | None, here: Here, file_bytes: int) -> str | None:
    """Why the file must not even be opened; None where it may be."""
    if mark is None:
        lost = here.checkpoint_state_id
        return f"there is no state: {'its folder was lost' if lost else 'this is the first start'}"
    reasons = (
        (bool(mark.lost), mark.lost),
        (
            mark.format != FORMAT,
            f"the state was written by another version (format {mark.format}, now {FORMAT})",
        ),
        (
            mark.pipeline != here.pipeline,
            f"the state is that of another pipeline, {mark.pipeline}",
        ),
        (
            not mark.clean and (not here.boot_id or mark.boot_id != here.boot_id),
            "the machine went down while the state was open, before all of it was on disk",
        ),
        (
            file_bytes < mark.file_bytes,
            f"the state's file was cut: it has {file_bytes} bytes, it had {mark.file_bytes}",
        ),
    )
    return next((reason for applies, reason in reasons if applies), None)


def decide(mark: Mark, position: Position, here: Here, show: Callable[[Position], str]) -> Decision:
    """Compare a state that could be opened, and is at `position`, with source and checkpoint."""
    if mark.source_id not in {here.source_id, here.checkpoint_source_id}:
        return Rebuild(f"the source is another one: {here.source_id}, it was {mark.source_id}")
    if lost := _reason_of_loss(mark, position, here, show):
        return Rebuild(lost)
    if here.checkpoint_state_id and mark.state_id != here.checkpoint_state_id:
        return Rebuild("the checkpoint goes with another state: this one is a copy, or an old one")
    if here.place is None:
        return Rebuild("the source keeps no place for us: the slot was dropped or lost")
    if position < here.place:
        return Rebuild(
            f"the source has gone on to {show(here.place)}, the state is at {show(position)}: "
            "changes between them would be missing"
        )
    behind = position if here.checkpoint is None else min(position, here.checkpoint)
    return GoOn(max(behind, here.place), position)


def _reason_of_loss(
    mark: Mark, position: Position, here: Here, show: Callable[[Position], str]
) -> str | None:
    """Why the state may hold what the source has lost; None if it doesn't."""
    if mark.source_id != here.source_id:
        why = f"a failover has lost what the source had beyond {show(here.shared)}"
    elif here.shared > NOWHERE and mark.source_id == here.checkpoint_source_id:
        why = f"the source has gone back to {show(here.shared)}"
    else:
        return None  # nobody has asked how far the log of that history is
    return f"{why}, and the state is at {show(position)}" if position > here.shared else None
