"""Makes a pipeline ours: waits for our turn, sees how things are, and says so in the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from cdc_daemon.events import NOWHERE
from cdc_daemon.resuming import Found
from cdc_daemon.standby import Turn, wait_for_turn
from cdc_daemon.unloaded import require_may_lose

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from cdc_daemon.config.models import Configuration
    from cdc_daemon.events import Checkpoint
    from cdc_daemon.ports import Sink, Source
    from cdc_daemon.resuming import Resumption

log = structlog.get_logger(__name__)


class Claim:
    """What one process does to be the only one that runs the pipeline."""

    def __init__(self, configuration: Configuration, source: Source, sink: Sink) -> None:
        self._configuration = configuration
        self._source = source
        self._checkpoints = sink.checkpoints
        self._owner = uuid4().hex
        """Tells our checkpoints from those of another process."""

    def kept(self, stopping: threading.Event, waiting: Callable[[], None]) -> Checkpoint | None:
        """The checkpoint; where we are to stand by, once it is our turn, or a stop is asked for."""
        name = self._configuration.name
        if not self._configuration.standby:
            return self._checkpoints.load(name)
        return wait_for_turn(
            turn=Turn(self._owner),
            pipeline=name,
            source=self._source,
            checkpoints=self._checkpoints,
            stopping=stopping,
            waiting=waiting,
        )

    def found(self, kept: Checkpoint | None, memberships: Mapping[str, str]) -> Found:
        """How the source is, beside what was kept; `memberships` as `Source.prepare` gave them."""
        place, source_id, shared = self._source.place(), self._source.identity(), NOWHERE
        if kept is not None and kept.position > NOWHERE and place is not None:
            shared = self._source.shared_until(kept.source_id)
        return Found(kept, place, source_id, shared, memberships)

    def staked(self, resumption: Resumption, kept: Checkpoint | None) -> Resumption:
        """Store our name, so that no other process stores its own: before anything is made."""
        require_may_lose(resumption, self._configuration.backfill.when_lost)
        ours = replace(
            resumption,
            claim=self._our(resumption.claim),
            checkpoint=self._our(resumption.checkpoint),
        )
        self._checkpoints.store(ours.claim)
        before, now = kept.source_id if kept else "", ours.checkpoint.source_id
        if not ours.new_place and before != now:
            after = self._source.show(ours.checkpoint.position)
            log.warning("failover_followed", before=before, now=now, after=after)
        return ours

    def _our(self, checkpoint: Checkpoint) -> Checkpoint:
        return replace(checkpoint, owner=self._owner, written=None)
