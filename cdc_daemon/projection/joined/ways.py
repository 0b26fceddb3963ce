"""The way from a row to the rows that belong to it: `on` and `through`, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cdc_daemon.projection.drafting import Scope
from cdc_daemon.projection.expressions import compile_condition
from cdc_daemon.projection.joined.keys import are_comparable, has_equality, key_of
from cdc_daemon.projection.joined.plan import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.config.embeds import EmbedConfig, JunctionConfig
    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.events import Column, Relation
    from cdc_daemon.projection.expressions import CompiledExpression
    from cdc_daemon.projection.joined.context import Context


@dataclass
class _StepDraft:
    near: Relation
    far: Relation
    on: Mapping[str, str]
    """Column of `far` to column of `near`."""
    where: CompiledExpression | None = None


class WayDraft:
    """The steps of one embed."""

    def __init__(
        self,
        context: Context,
        path: Path,
        config: EmbedConfig,
        near: Relation,
    ) -> None:
        self._context = context
        self._mistakes = context.mistakes
        self._steps: list[_StepDraft] = []
        here = near
        several = isinstance(config.through, list)
        place: Path = (*path, "through")
        for at, junction in enumerate(config.junctions):
            place = (*path, "through", at) if several else place
            here = self._junction(place, here, context.tables[junction.table], junction)
        table = context.tables[config.table]
        if config.on is not None:
            self._step((*path, "on"), here, table, config.on)
        elif to := config.junctions[-1].to:
            self._step((*place, "to"), here, table, to)

    def _junction(
        self, path: Path, near: Relation, table: Relation, config: JunctionConfig
    ) -> Relation:
        self._context.check_key((*path, "table"), table)
        self._step((*path, "on"), near, table, config.on)
        if config.where is not None:
            scope = Scope(table, table, self._mistakes)
            place = (*path, "where")
            self._steps[-1].where = scope.expression(place, config.where, compile_condition)
        return table

    def _step(self, path: Path, near: Relation, far: Relation, on: Mapping[str, str]) -> None:
        self._steps.append(_StepDraft(near, far, on))
        for name, nearer in on.items():
            left = Scope(far, far, self._mistakes).row_column(path, name)
            right = Scope(near, near, self._mistakes).row_column(path, nearer)
            if left is not None and right is not None:
                self._check_pair(path, (far, left), (near, right))

    def _check_pair(
        self, path: Path, left: tuple[Relation, Column], right: tuple[Relation, Column]
    ) -> None:
        for table, column in (left, right):
            why = has_equality(column.type)
            if not column.equal_by_text:
                why = (
                    "its collation is nondeterministic, so which of its values are equal is not "
                    "known here. Join by another column, or give it a deterministic collation in "
                    "the source"
                )
            if column.protection is not None:
                why = f"it is {column.protection.kind} by the `source` section"
            if why is not None:
                self._mistakes.add(path, f"{table.qualified_name}.{column.name}: {why}")
                return
        if not are_comparable(left[1], right[1]):
            shown = " and ".join(
                f"{table.qualified_name}.{column.name} ({column.type.declared or column.type.name})"
                for table, column in (left, right)
            )
            self._mistakes.add(
                path, f"{shown} can't be compared exactly: give them the same type in the source"
            )

    @property
    def near_columns(self) -> list[str]:
        """The columns of the row's own table that it starts from."""
        return list(self._steps[0].on.values())

    @property
    def own_columns(self) -> list[str]:
        """The columns of the embedded table that it ends at."""
        return list(self._steps[-1].on)

    @property
    def far_columns(self) -> Iterator[tuple[Relation, list[str]]]:
        """Each table on the way, with the columns that it is looked up by."""
        return ((step.far, list(step.on)) for step in self._steps)

    @property
    def reads(self) -> Iterator[tuple[Relation, str]]:
        """What is read of the junctions."""
        for step, following in zip(self._steps, self._steps[1:], strict=False):
            read = {*step.on, *following.on.values(), *key_of(step.far)}
            read.update(step.where.columns if step.where else ())
            yield from ((step.far, name) for name in read)

    def meaning(self) -> list[object]:
        """All that it depends on."""
        return [
            [step.far.qualified_name, dict(step.on), step.where.sql if step.where else None]
            for step in self._steps
        ]

    def compile(self, narrowed: Mapping[Relation, Relation]) -> tuple[Step, ...]:
        """The steps over the tables with the columns that are read."""
        return tuple(
            Step(
                narrowed[step.far],
                tuple(step.on.items()),
                compile_condition(step.where.sql, narrowed[step.far]) if step.where else None,
            )
            for step in self._steps
        )
