"""What the state must keep for some plans: tables, and indexes for the ways down and up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.assembly.lookup import NO_ORDER, Lookup, downwards, upwards
from cdc_daemon.assembly.sequence import order_of
from cdc_daemon.assembly.tally import counters_of, is_kept
from cdc_daemon.projection.joined.plan import levels_of, relations_of
from cdc_daemon.state import AggregateWanted, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.projection.joined.plan import Embed, Level, Plan


def wanted(plans: Sequence[Plan]) -> Wanted:
    """What all of them need together; what several need is there once."""
    relations = dict.fromkeys(relation for plan in plans for relation in plan.relations)
    lookups = [
        lookup
        for plan in plans
        for level in levels_of(plan.root)
        for embed in level.embeds
        for lookup in _lookups(embed, level)
    ]
    aggregates = {
        name: AggregateWanted(name, _counted(embed), _counted_over(embed, level))
        for plan in plans
        for level in levels_of(plan.root)
        for embed in level.embeds
        if is_kept(embed, level)
        for name, _ in counters_of(embed, level)
    }
    indexes = {one.text: one for lookup in lookups if (one := lookup.wanted) is not None}
    return Wanted(
        tuple(relations),
        tuple(indexes.values()),
        tuple(aggregates.values()),
        tuple(documents_of(plan) for plan in plans),
        frozenset().union(*(plan.reads for plan in plans)),
    )


def documents_of(plan: Plan) -> str:
    """What the state knows the documents of a plan by: those of another mapping are others."""
    return f"{plan.name} {plan.model.fingerprint}"


def _counted(embed: Embed) -> tuple[str, ...]:
    """The tables whose rows move its counters."""
    steps = (step.relation for step in embed.steps)
    relations = dict.fromkeys([*steps, *relations_of(embed.level)])
    return tuple(relation.qualified_name for relation in relations)


def _counted_over(embed: Embed, above: Level) -> tuple[str, ...]:
    """The indexes by which they are: whoever shares the counters has the same ones."""
    down, _, *further = _lookups(embed, above)  # up to the rows above leads the way of documents
    below = (
        lookup
        for level in levels_of(embed.level)
        for one in level.embeds
        for lookup in _lookups(one, level)
    )
    indexes = (lookup.wanted for lookup in (down, *further, *below))
    return tuple(dict.fromkeys(one.text for one in indexes if one is not None))


def _lookups(embed: Embed, above: Level) -> Iterator[Lookup]:
    near = above.relation
    for step in embed.steps:
        order = NO_ORDER if step is not embed.steps[-1] else order_of(embed) or NO_ORDER
        yield downwards(step, near, order)
        yield upwards(step, near)
        near = step.relation
