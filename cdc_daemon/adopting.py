"""What a replica that doesn't lead goes on with: what the leader has made. Nothing is made here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.events import NOWHERE

if TYPE_CHECKING:
    from cdc_daemon.resuming import Found, Resumption


def waits_because(found: Found, resumption: Resumption) -> str | None:
    """What the leader has still to do before others can share its work; None: nothing."""
    kept = found.checkpoint
    if kept is None or kept.position == NOWHERE:
        return "there is no checkpoint yet"
    if kept.source_id != found.source_id:
        return f"the source is in another history by now: {found.source_id}"
    if kept.loads or kept.building:
        return "rows are loaded"
    if resumption.new_place or resumption.anew:
        name, reason = next(iter(resumption.anew.items()), ("all", "nothing can be gone on with"))
        return f"{name} needs another index: {reason}"
    if resumption.altered:
        table, reason = next(iter(resumption.altered.items()))
        return f"table {table} has changed: {reason}"
    return None
