"""What a source without a system of its own answers: no rows, and a clock that is ours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.errors import ConditionError, SourceError
from cdc_daemon.events import ColumnShape, Position, Shape
from cdc_daemon.ports import ClockSample, FoundRows, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from cdc_daemon.events import Chunk, Relation
    from connectors.http.arrivals import ArrivalQueue


@dataclass(frozen=True, slots=True)
class SeenUntil:
    """A `Visibility` of all that was posted up to a position; transactions are numbered by it."""

    position: int

    def sees(self, xid: int) -> bool:
        """Whether it is one of them."""
        return xid <= self.position


@dataclass(frozen=True, slots=True)
class NoRows:
    """A `ChunkReader`: there are no rows but those that are posted."""

    queue: ArrivalQueue

    def plan(self, relation: Relation) -> list[Chunk]:  # noqa: ARG002 - the port
        """Nothing to read."""
        return []

    def check(self, relation: Relation, where: str) -> NoReturn:  # noqa: ARG002 - the port
        """No condition chooses any."""
        raise ConditionError("this source keeps no rows that could be chosen: post them again")

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> NoReturn:  # noqa: ARG002 - the port
        """Nothing is planned, so nothing is read."""
        raise SourceError(f"{relation.qualified_name} has no rows that could be read")

    def read_keys(
        self,
        relation: Relation,  # noqa: ARG002 - the port
        columns: Sequence[str],  # noqa: ARG002 - the port
        keys: Sequence[tuple[str, ...]],  # noqa: ARG002 - the port
    ) -> FoundRows:
        """None: rows are posted whole, so nobody asks."""
        return FoundRows([], self.visibility(), self.queue.last)

    def settle(self, joined: Relation | None = None) -> None:
        """All that was posted is visible."""

    def visibility(self) -> SeenUntil:
        """All that was posted until now."""
        return SeenUntil(self.queue.last)

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class ConfiguredShapes:
    """A `ShapeReader`: tables look as the configuration has them, until it is another one."""

    relations: Mapping[str, Relation]

    def read(self, tables: Sequence[str]) -> dict[str, Shape]:
        """Those that are there, by their qualified names."""
        found = [self.relations[name] for name in map(qualified, tables) if name in self.relations]
        return {relation.qualified_name: _shape(relation) for relation in found}

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class OwnClock:
    """A `SourceClock`: the source's time is ours, and its position what was posted last."""

    queue: ArrivalQueue

    def sample(self) -> ClockSample:
        """Now."""
        return ClockSample(time.time(), self.queue.last, 0.0)

    def nudge(self) -> None:
        """Nothing can be half written."""

    def reach(self, position: Position) -> Position:  # noqa: ARG002 - the port
        """Where it ends."""
        return self.queue.last

    def slot_health(self) -> None:
        """Nothing is kept for us."""

    def standing(self) -> Standing:
        """No commit waits for us."""
        return Standing()

    def close(self) -> None:
        """Nothing to release."""


def qualified(table: str) -> str:
    """A table as `schema.name`."""
    return table if "." in table else f"public.{table}"


def _shape(relation: Relation) -> Shape:
    return Shape(
        table=relation.qualified_name,
        key=",".join(relation.primary_key),
        columns={
            column.name: ColumnShape(place, column.type.declared, "")
            for place, column in enumerate(relation.columns, 1)
        },
    )
