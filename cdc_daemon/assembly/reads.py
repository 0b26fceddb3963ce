"""Which columns of a row matter in each of its roles: where none of them changes, nothing does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.projection.joined.plan import Embed, Field, Level, Plan


def of_root(plan: Plan) -> set[str]:
    """The columns that the root reads of its rows."""
    return _own(plan.root, {*plan.id, plan.routing or "", *_of_level(plan.root)})


def of_embedded(embed: Embed, above: Level) -> set[str]:
    """The columns that an embed reads of the rows that it shows, counts, or borrows from."""
    names = {name for name, _ in embed.steps[-1].pairs}
    names.update(key.column for key in embed.order)
    names.update(each.column for each in above.borrowed if each.embed == embed.name)
    if embed.value is not None:
        names.update(_of_field(embed.value, embed.level))
    return _own(embed.level, names.union(_of_level(embed.level)))


def of_link(embed: Embed, at: int) -> set[str]:
    """The columns that an embed reads of its junction at that place."""
    step = embed.steps[at]
    names = {name for name, _ in step.pairs}
    names.update(nearer for _, nearer in embed.steps[at + 1].pairs)
    return names.union(step.where.columns if step.where else ())


def _of_level(level: Level) -> Iterator[str]:
    if level.where is not None:
        yield from level.where.columns
    for field in level.fields:
        yield from _of_field(field, level)
    for embed in level.embeds:
        yield from (nearer for _, nearer in embed.steps[0].pairs)


def _of_field(field: Field, level: Level) -> Iterator[str]:
    if field.expression is not None:
        yield from field.expression.columns
    elif field.part.place is not None:
        yield level.readable.columns[field.part.place].name


def _own(level: Level, names: set[str]) -> set[str]:
    """Without what is borrowed."""
    return names.intersection(column.name for column in level.relation.columns)
