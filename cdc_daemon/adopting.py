"""What a replica that doesn't lead goes on with: what the leader has made. Nothing is made here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cdc_daemon.errors import SinkError, SourceError
from cdc_daemon.events import NOWHERE
from cdc_daemon.resuming import resume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cdc_daemon.claim import Claim
    from cdc_daemon.config.models import Configuration
    from cdc_daemon.errors import SchemaChangedError
    from cdc_daemon.events import Shape
    from cdc_daemon.ports import Sink, Source
    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.reaching import Reaching
    from cdc_daemon.resuming import Found, Resumption


class Beside:
    """How things are beside the leader. The reader looks."""

    def __init__(
        self,
        configuration: Configuration,
        source: Source,
        sink: Sink,
        claim: Claim,
        reaching: Reaching,
    ) -> None:
        self._configuration = configuration
        self._source = source
        self._sink = sink
        self._claim = claim
        self._reaching = reaching

    def look(self, compiled: Compiled, shapes: Mapping[str, Shape]) -> tuple[Found, Resumption]:
        """What there is, and what a start would do that leads; neither the source is touched, nor
        the state. What the stream has shown of a table is for the leader to see to.
        """  # noqa: D205 - one sentence
        name = self._configuration.name
        with self._reaching.reachable("sink", SinkError):
            self._sink.preflight(compiled.models)
            kept = self._sink.checkpoints.load(name)
        with self._reaching.reachable("source", SourceError):
            memberships = self._source.memberships(compiled.relations)
            found = self._claim.found(kept, memberships)
        found = replace(found, shapes=shapes)
        with self._reaching.reachable("sink", SinkError):
            resumption = resume(name, found, compiled.mapped, self._sink, self._source.show)
        return found, resumption


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


def without_state(found: Found, change: SchemaChangedError) -> Found:
    """The leader has passed what our state has yet to come to, and can't take: rows in a shape that
    the table has no more. It is begun anew.
    """  # noqa: D205 - one sentence
    return replace(found, state_lost=f"it is from before a change: {change}")
