"""What a source of messages answers of itself: no rows, and a clock that is ours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cdc_daemon.errors import ConditionError, SourceError
from cdc_daemon.events import ColumnShape, Position, Shape
from cdc_daemon.ports import ClockSample, FoundRows, Standing
from connectors.messages.tables import qualified

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from cdc_daemon.events import Chunk, Relation


class Numbered(Protocol):
    """What gives positions."""

    @property
    def last(self) -> Position:
        """The newest position that was given."""


@dataclass(frozen=True, slots=True)
class SeenUntil:
    """A `Visibility` of all that came up to a position; transactions are numbered by it."""

    position: int

    def sees(self, xid: int) -> bool:
        """Whether it is one of them."""
        return xid <= self.position


@dataclass(frozen=True, slots=True)
class NoRows:
    """A `ChunkReader`: there are no rows but those that come as messages."""

    numbered: Numbered

    def plan(self, relation: Relation) -> list[Chunk]:  # noqa: ARG002 - the port
        """Nothing to read."""
        return []

    def check(self, relation: Relation, where: str) -> NoReturn:  # noqa: ARG002 - the port
        """No condition chooses any."""
        raise ConditionError("this source keeps no rows that could be chosen: have them sent again")

    def read(self, relation: Relation, chunk: Chunk, where: str = "") -> NoReturn:  # noqa: ARG002 - the port
        """Nothing is planned, so nothing is read."""
        raise SourceError(f"{relation.qualified_name} has no rows that could be read")

    def read_keys(
        self,
        relation: Relation,  # noqa: ARG002 - the port
        columns: Sequence[str],  # noqa: ARG002 - the port
        keys: Sequence[tuple[str, ...]],  # noqa: ARG002 - the port
        where: str = "",  # noqa: ARG002 - the port
    ) -> FoundRows:
        """None: rows come whole, so nobody asks."""
        return FoundRows([], self.visibility(), self.numbered.last)

    def settle(self, joined: Relation | None = None) -> None:
        """All that came is visible."""

    def visibility(self) -> SeenUntil:
        """All that came until now."""
        return SeenUntil(self.numbered.last)

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
    """A `SourceClock`: the source's time is ours, and its position what came last."""

    numbered: Numbered

    def sample(self) -> ClockSample:
        """Now."""
        return ClockSample(time.time(), self.numbered.last, 0.0)

    def nudge(self) -> None:
        """Nothing can be half written."""

    def reach(self, position: Position) -> Position:  # noqa: ARG002 - the port
        """Where it ends."""
        return self.numbered.last

    def slot_health(self) -> None:
        """Nothing is kept for us."""

    def standing(self) -> Standing:
        """No commit waits for us."""
        return Standing()

    def close(self) -> None:
        """Nothing to release."""


def _shape(relation: Relation) -> Shape:
    return Shape(
        table=relation.qualified_name,
        key=",".join(relation.primary_key),
        columns={
            column.name: ColumnShape(place, column.type.declared, "")
            for place, column in enumerate(relation.columns, 1)
        },
    )
