"""What a start does with the state of joined read models: goes on with it, or begins it anew.

Its folder is this process's own until it is let go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from cdc_daemon.assembly import wanted
from cdc_daemon.backfill.statechunks import StateChunks
from cdc_daemon.joining import Kept
from cdc_daemon.resuming import tables_of
from cdc_daemon.state import Here, boot_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.config.models import Configuration
    from cdc_daemon.events import Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.resuming import Found, Resumption
    from cdc_daemon.state import Store

log = structlog.get_logger(__name__)


class StateStart:
    """Of one process, whose starts come one after the other; without joined read models nothing."""

    def __init__(
        self, configuration: Configuration, show: Callable[[Position], str], metrics: Metrics
    ) -> None:
        self._configuration = configuration
        self._show = show
        self._metrics = metrics
        self._kept: Kept | None = None

    @property
    def id(self) -> str:
        """What the checkpoint names the state by; empty where there is none."""
        return "" if self._kept is None else self._kept.id

    def look(self, plans: Sequence[Plan], found: Found) -> Found:
        """With what there is of the state. Raises StateError where another process has it."""
        if not plans:
            return found
        here = here_of(self._configuration.name, found)
        config = self._configuration.state
        state = self._kept = Kept(config.path, here, self._show, config.max_size)
        return replace(
            found, state_lost=state.lost, lacking=state.lacking(plans), held=state.held(plans)
        )

    def begin_from(self, resumption: Resumption) -> Resumption:
        """Where the state is behind the checkpoint, the stream begins there."""
        begin = None if self._kept is None else self._kept.ask_from
        if begin is None or resumption.new_place:
            return resumption
        checkpoint = resumption.checkpoint
        position = min(begin, checkpoint.position)
        return replace(resumption, checkpoint=replace(checkpoint, position=position))

    def lacking_rows(self, plans: Sequence[Plan], resumption: Resumption) -> set[str]:
        """The projections that would have to wait for rows, if it were opened."""
        if self._kept is None:
            return set()
        tables = self._kept.to_load(
            wanted(plans), resumption.renewed, all_anew=resumption.new_place
        )
        return {plan.name for plan in plans if tables_of(plan) & tables}

    def open(self, plans: Sequence[Plan], found: Found, resumption: Resumption) -> Store | None:
        """Before the checkpoint says what is to be loaded: a crash in between loads it again."""
        if self._kept is None:
            return None
        lost = found.state_lost
        if lost is not None and found.checkpoint is not None and found.checkpoint.state_id:
            log.warning("state_lost", reason=lost)
            self._metrics.state_lost()
        store = self._kept.open(
            wanted(plans),
            resumption.renewed,
            all_anew=lost is not None or resumption.new_place,
        )
        StateChunks(store, plans).expect(resumption.joined)
        return store

    def let_go(self) -> None:
        """What was begun is over: bring the state to disk, and let its folder go."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            kept.close()


def here_of(pipeline: str, found: Found) -> Here:
    """What the state of joined read models is compared with."""
    kept = found.checkpoint
    return Here(
        pipeline=pipeline,
        source_id=found.source_id,
        boot_id=boot_id(),
        place=found.place,
        checkpoint=None if kept is None else kept.position,
        checkpoint_state_id="" if kept is None else kept.state_id,
        checkpoint_source_id="" if kept is None else kept.source_id,
        shared=found.shared,
    )
