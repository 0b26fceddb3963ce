"""What people ask of the backfill: any thread calls it, and the reader carries it out."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.backfill.requests import BusyError
from cdc_daemon.delivery.others import NOBODY
from cdc_daemon.errors import CdcError, RetryError, StopError
from cdc_daemon.events import Load
from cdc_daemon.nearest import nearest
from cdc_daemon.projection.joined.plan import Plan, tables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cdc_daemon.backfill.backfill import Backfill
    from cdc_daemon.backfill.report import UnderWay
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.events import Position, Relation
    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.projection.flat import FlatProjection

MOVE_SECONDS: Final = 3.0
"""How long a repair waits for the source's position to move: it is asked to once a second."""
STORED_SECONDS: Final = 5.0
"""How long its beginning is waited for in the checkpoint, which is stored once a second."""
LOOK_SECONDS: Final = 0.02


class UnknownNameError(CdcError):
    """There is no projection or table of that name."""


class ConflictError(CdcError):
    """It can't be done as things are."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which rows are meant: those of a projection, or of a table for all its projections."""

    projection: str | None = None
    table: str | None = None
    where: str = ""
    """Only those that meet a condition of the source's own language."""


class Control:
    """Starts and cancels repairs, pauses what is read. Any thread but the reader calls it."""

    def __init__(self, backfill: Backfill, compiled: Compiled, delivery: Delivery) -> None:
        self._backfill = backfill
        self._compiled = compiled
        self._delivery = delivery

    def show(self) -> dict[str, Any]:
        """What is under way, as JSON."""
        return self._backfill.show()

    def start(self, wish: Wish) -> None:
        """Read rows of a table again, into the read models that are searched.

        Returns once a crash can't make the repair forgotten, unless the sink is away.
        Raises UnknownNameError, ConditionError, ConflictError, BusyError.
        """
        self._require_all()
        chosen = self._chosen(wish)
        self._require_idle(chosen)
        _require_rows(chosen)
        if wish.where:
            self._require_flat(chosen[0])
            self._check(chosen[0].relation, wish.where)
        self._move_on()
        since = self._backfill.requests.ask(lambda: self._begin(chosen, wish.where))
        _wait_until(lambda: self._is_stored(chosen[0].name, since), STORED_SECONDS)

    def cancel(self, wish: Wish) -> None:
        """Give repairs up: those of a table or a projection, or all.

        Raises UnknownNameError, ConflictError, BusyError.
        """
        names = [projection.name for projection in self._chosen(wish)]
        self._backfill.requests.ask(lambda: self._cancel(names, every=wish == Wish()))

    def pause(self, *, paused: bool) -> None:
        """Read nothing for now, or go on. Raises ConflictError where nothing is being read."""
        if not self._backfill.loads:
            raise ConflictError("no rows are being read: there is nothing to pause or to resume")
        self._backfill.pause(paused=paused)

    def _chosen(self, wish: Wish) -> Sequence[FlatProjection | Plan]:
        every = self._compiled.mapped
        if wish.projection is not None:
            found = [each for each in every if each.name == wish.projection]
            names = [each.name for each in every]
            _require_found(found, "projection", wish.projection, names)
        elif wish.table is not None:
            return self._of_table(wish.table)
        else:
            return every
        return found

    def _of_table(self, table: str) -> Sequence[FlatProjection]:
        """Rows of joined read models are kept: to read them again mends no document."""
        flat = self._compiled.projections
        found = [each for each in flat if each.relation.qualified_name == table]
        joined = [plan.name for plan in self._compiled.plans if table in tables_of(plan)]
        if joined and not found:
            raise ConflictError(
                f"only joined read models show rows of {table} ({', '.join(joined)}), and these "
                "are kept by the daemon. To write their documents again: cdc-daemon backfill start "
                "--projection NAME. To read all rows again: cdc-daemon state rebuild"
            )
        _require_found(found, "table", table, [each.relation.qualified_name for each in flat])
        return found

    def _require_flat(self, projection: FlatProjection | Plan) -> None:
        if isinstance(projection, Plan):
            raise ConflictError(
                f"{projection.name} is a joined read model: its documents are written again from "
                "the rows that the daemon keeps, and no condition chooses among them. Leave out "
                "--where"
            )

    def _check(self, relation: Relation, where: str) -> None:
        with closing(self._backfill.new_reader()) as reader:
            try:
                reader.check(relation, where)
            except RetryError as error:
                raise BusyError(f"{error}. Nothing was done: ask again") from error
            except StopError as error:
                raise ConflictError(str(error)) from error

    def _require_all(self) -> None:
        """What is read again has one writer, as all that is loaded."""
        if self._delivery.progress.others != NOBODY:
            raise ConflictError(
                "other replicas write a part of the documents (--role projector), and rows are "
                "read again by one: stop the others, ask again, and start them once it is done"
            )

    def _require_idle(self, chosen: Sequence[FlatProjection | Plan]) -> None:
        names = {projection.name for projection in chosen}
        for load in self._backfill.loads:
            if both := sorted(names & {*load.names}):
                raise ConflictError(
                    f"the rows of {load.relation.qualified_name} are being read for "
                    f"{', '.join(both)} already: see `cdc-daemon backfill status`"
                )

    def _move_on(self) -> None:
        """Let the stream get past what was written last.

        Who changes a document behind our back raises its version by one, as OpenSearch counts.
        Where the source is idle, a repair at the very position of the last commit would lose
        against that. Where the position doesn't move in time, the repair begins all the same.
        """
        progress = self._delivery.progress
        before = progress.received
        self._delivery.monitor.nudge_soon()
        _wait_until(lambda: progress.received > before, MOVE_SECONDS)

    def _is_stored(self, name: str, since: Position) -> bool:
        """Whether the checkpoint has the repair, or it is over already."""
        for loads in (self._delivery.checkpointer.stored_loads, self._backfill.ended):
            if any(name in load.projections and load.since == since for load in loads):
                return True
        return False

    def _begin(self, chosen: Sequence[FlatProjection | Plan], where: str) -> Position:
        self._require_idle(chosen)
        names = tuple(projection.name for projection in chosen)
        table = chosen[0].relation.qualified_name
        since = self._delivery.progress.received
        self._backfill.begin_beside(Load(table, names, since=since, where=where), self._compiled)
        return since

    def _cancel(self, names: Collection[str], *, every: bool) -> None:
        loads = [load for load in self._backfill.loads if {*names} & {*load.names}]
        if every:
            loads = [load for load in loads if load.repairs] or loads
        if not loads:
            raise ConflictError("no rows are being read for that: there is nothing to cancel")
        for load in loads:
            self._require_cancellable(load, names)
        for load in loads:
            self._backfill.cancel(load)

    def _require_cancellable(self, load: UnderWay, names: Collection[str]) -> None:
        table, own = load.relation.qualified_name, ", ".join(load.names)
        if not load.repairs:
            raise ConflictError(
                f"the rows of {table} are read into a new index of {own}, which can't be searched "
                "without them. To read nothing for now: `cdc-daemon backfill pause`. To do without "
                "the read model: remove it from the configuration, and restart the daemon"
            )
        if load.asked.why:
            raise ConflictError(
                f"the rows of {table} are read again for {own} because the table has changed "
                f"({load.asked.why}): without that documents would stay wrong. To read nothing for "
                "now: `cdc-daemon backfill pause`"
            )
        if not {*load.names} <= {*names}:
            raise ConflictError(
                f"the rows of {table} are read once for {own}: cancel that by --table {table}"
            )
        if load in self._backfill.sweeping:
            raise ConflictError(
                f"all rows of {table} are written; only documents without a row are still to be "
                "deleted, which can't be cancelled"
            )


def _require_rows(chosen: Sequence[FlatProjection | Plan]) -> None:
    for projection in chosen:
        if not isinstance(projection, Plan) and not projection.relation.has_rows:
            raise ConflictError(
                f"the rows of {projection.relation.qualified_name} are only what messages have "
                "said of them: they can't be read again into a read model that is searched. To "
                f"have all messages read from the first one on: rename {projection.name}"
            )


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _require_found(found: Sequence[object], kind: str, name: str, names: Sequence[str]) -> None:
    if not found:
        meant = nearest(name, names)
        hint = f"did you mean {meant}?" if meant else f"there are {', '.join(sorted({*names}))}"
        raise UnknownNameError(f"no {kind} {name} is mapped; {hint}")
