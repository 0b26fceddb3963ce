"""What a start of a relay goes on with: from where on the source is read. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.events import NOWHERE, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Position
    from cdc_daemon.resuming import Found


class Resumed(NamedTuple):
    """What a start does about what it finds."""

    checkpoint: Checkpoint
    """To go on from."""
    new_place: bool
    """Whether the source must keep another place for us, from now on."""
    joined: frozenset[str]
    """The tables of which existing rows have not been relayed, by `Relation.qualified_name`."""
    left: frozenset[str] = frozenset()
    """Those of them that were relayed before: what changed meanwhile may be in no stream."""
    lost: str = ""
    """Why changes are lost that nobody has read; empty where none are."""


def resume_relay(pipeline: str, found: Found, show: Callable[[Position], str]) -> Resumed:
    """Compare what was written last with what the source still has."""
    kept, all_of_them = found.checkpoint, frozenset(found.memberships)
    fresh = Checkpoint(
        pipeline, NOWHERE, found.source_id, memberships=dict(found.memberships), owner=""
    )
    if kept is None and found.place is not None:
        return Resumed(
            fresh,
            new_place=True,
            joined=all_of_them,
            lost="there is no checkpoint, and yet the source keeps a place for us: it was deleted, "
            "or the first start was cut off",
        )
    if kept is None:
        return Resumed(fresh, new_place=True, joined=all_of_them)
    if lost := _why_lost(kept, found, show):
        return Resumed(fresh, new_place=True, joined=all_of_them, lost=lost)
    now = replace(kept, source_id=found.source_id, memberships=dict(found.memberships))
    joined = {
        table for table in all_of_them if found.memberships[table] != kept.memberships.get(table)
    }
    left = frozenset(joined & kept.memberships.keys())
    return Resumed(now, new_place=False, joined=frozenset(joined), left=left)


def _why_lost(kept: Checkpoint, found: Found, show: Callable[[Position], str]) -> str:
    if found.place is None:
        return "the source keeps no place for us any more (its replication slot is gone)"
    if found.shared == NOWHERE:
        return (
            f"the source has another history ({found.source_id}) than what was written is of "
            f"({kept.source_id})"
        )
    if found.shared < kept.position:
        return (
            f"the source has lost changes that were written already: it was left at "
            f"{show(found.shared)} by a failover or a restore, and {show(kept.position)} is written"
        )
    if found.place > kept.position:
        return (
            f"the source has gone on to {show(found.place)}, and what was written ends at "
            f"{show(kept.position)}: somebody has moved the slot, or the checkpoint is an older one"
        )
    return ""
