"""What a start does with the state of joined read models: goes on with it, or begins it anew.

Its folder is this process's own until it is let go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.assembly import wanted
from cdc_daemon.backfill.statechunks import StateChunks
from cdc_daemon.events import NOWHERE
from cdc_daemon.joining import Kept
from cdc_daemon.resuming import tables_of
from cdc_daemon.state import Here, boot_id, known_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cdc_daemon.config.models import Configuration
    from cdc_daemon.events import Checkpoint, Position
    from cdc_daemon.metrics import Metrics
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.resuming import Found, Resumption
    from cdc_daemon.sharing.replica import Replica
    from cdc_daemon.state import Known, Store

log = structlog.get_logger(__name__)

SHARED: Final = "shared"
"""What a checkpoint of replicas names as its state: each has one of its own, which knows by itself
whether it can be gone on with."""


class StateStart:
    """Of one process, whose starts come one after the other; without joined read models nothing."""

    def __init__(
        self,
        configuration: Configuration,
        show: Callable[[Position], str],
        metrics: Metrics,
        replica: Replica | None = None,
    ) -> None:
        self._replica = replica
        self._configuration = configuration
        self._show = show
        self._metrics = metrics
        self._kept: Kept | None = None

    @property
    def id(self) -> str:
        """What the checkpoint names the state by; empty where there is none."""
        if self._kept is None:
            return ""
        return self._kept.id if self._replica is None else SHARED

    def look(self, plans: Sequence[Plan], found: Found) -> Found:
        """With what there is of the state. Raises StateError where another process has it."""
        if not plans:
            return found
        here = here_of(self._configuration.name, found)
        if here.checkpoint_state_id == SHARED and self._replica is not None:
            here = replace(here, checkpoint_state_id="")
        config = self._configuration.state
        state = self._kept = Kept(config.path, here, self._show, config.max_size)
        lacking = state.lacking(plans) | self._unknown(plans, found)
        return replace(found, state_lost=state.lost, lacking=lacking, held=state.held(plans))

    def _unknown(self, plans: Sequence[Plan], found: Found) -> dict[str, str]:
        """The projections of which others may not have written what the state has no mark of."""
        if self._replica is None or found.checkpoint is None:
            return {}
        complete = self._replica.complete(found.checkpoint)
        known = self._known(plans, found.checkpoint)
        why = "which documents were touched before its rows were loaded"
        return {plan.name: why for plan, one in known if one.since > complete}

    def _known(self, plans: Sequence[Plan], kept: Checkpoint) -> Iterator[tuple[Plan, Known]]:
        """What is known of the documents of those that lack no rows."""
        assert self._kept is not None  # noqa: S101 - the caller has looked
        alone = kept.state_id not in {"", SHARED}
        for plan in plans:
            noted, generation = self._kept.known(plan), kept.generations.get(plan.name)
            if noted is not None and generation is not None:
                found, position = noted
                yield plan, known_of(found, generation.uuid, position, alone=alone)

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
            self._say_lost(lost)
        known = []
        if found.checkpoint is not None and lost is None:
            known = [*self._known(plans, found.checkpoint)]
        store = self._kept.open(
            wanted(plans),
            resumption.renewed,
            all_anew=lost is not None or resumption.new_place,
        )
        if self._replica is not None and not resumption.new_place:
            self._note(known, plans, found)
        StateChunks(store, plans).expect(resumption.joined)
        return store

    def _note(
        self, known: Sequence[tuple[Plan, Known]], plans: Sequence[Plan], found: Found
    ) -> None:
        """Also of those that were new to the state, and lack no rows: nothing is loaded for them,
        which would say it.
        """  # noqa: D205 - one sentence
        assert self._kept is not None  # noqa: S101 - the caller has opened it
        before = {plan.name for plan, _ in known}
        new = [plan for plan in plans if plan.name not in before]
        more = (
            ()
            if found.checkpoint is None or found.state_lost is not None
            else [*self._known(new, found.checkpoint)]
        )
        for plan, one in (*known, *more):
            self._kept.note_known(plan, one)

    def known_since(self, plans: Sequence[Plan], checkpoint: Checkpoint) -> Position | None:
        """All that was touched later is known; None where rows are lacking."""
        since = NOWHERE
        for plan in plans:
            noted = None if self._kept is None else self._kept.known(plan)
            if noted is None or noted[0] is None:
                return None
            if noted[0].uuid != checkpoint.generations[plan.name].uuid:
                return None
            since = max(since, noted[0].since)
        return since

    def _say_lost(self, why: str) -> None:
        if self._replica is not None and not self._replica.leads:
            log.info("state_begun", reason=why)  # nobody misses it: others have theirs
            return
        log.warning("state_lost", reason=why)
        self._metrics.state_lost()

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
