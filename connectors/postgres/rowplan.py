"""Which conversion each column needs, for the stream and for COPY."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cdc_daemon.errors import RejectedError, SourceError
from cdc_daemon.values import unknown_types, watched_encoder
from connectors.postgres.tupleplan import PASS, TuplePlan, misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from cdc_daemon.events import Column, Relation
    from connectors.postgres.tupleplan import ColumnPlan, RelationMessage


def column_plans(columns: Sequence[Column]) -> tuple[ColumnPlan, ...]:
    """The plan of each column."""
    return tuple(
        column.protection.encode if column.protection else watched_encoder(column.type) or PASS
        for column in columns
    )


def unknown_columns(relations: Sequence[Relation]) -> Iterator[tuple[str, str, list[str]]]:
    """Table, column and types of each column whose text is not understood, only passed on."""
    for relation in relations:
        for column in relation.columns:
            if types := sorted(unknown_types(column.type)):
                yield relation.qualified_name, column.name, types


def tuple_plan(
    message: RelationMessage,
    relation: Relation,
    are_still_there: Callable[[Collection[str]], bool] = lambda _: False,
    order: Sequence[str] | None = None,
    listed: Collection[str] | None = None,
) -> TuplePlan:
    """The plan for streamed rows: the columns of `relation`, the others left out.

    A misfit where the table had, or has by now, another shape than `relation`, so that its rows
    can't be told from what they are now. `are_still_there`: whether the table has these columns.
    `order`: as `Relation.order`, as it is by now. `listed`: the columns that are streamed at all,
    where somebody has decided that not all are; None otherwise.
    """
    streamed = [column.name for column in message.columns]
    wanted = {column.name: column for column in relation.columns}
    lacking = [name for name in wanted if name not in streamed]
    why = (
        _unknown_reason(streamed, relation, lacking)
        or _lacking_reason(streamed, wanted, lacking, are_still_there)
        or _place_reason(streamed, relation, relation.order if order is None else order, listed)
        or _type_reason(message, wanted)
        or _identity_reason(message, relation)
    )
    if why is not None:
        return misfit(relation, len(streamed), why)
    plans = dict(zip(wanted, column_plans(relation.columns), strict=True))
    return TuplePlan(relation, tuple(plans.get(name) for name in streamed), len(lacking))


def _unknown_reason(
    streamed: Sequence[str], relation: Relation, lacking: Sequence[str]
) -> str | None:
    """A column that nobody knows is of no matter, unless it is mapped, or one was renamed."""
    unknown = set(streamed) - relation.known
    if not (relation.is_open or lacking):
        unknown &= relation.missing
    return f"the stream has its column {', '.join(sorted(unknown))}" if unknown else None


def _place_reason(
    streamed: Sequence[str],
    relation: Relation,
    order: Sequence[str],
    listed: Collection[str] | None,
) -> str | None:
    """Names can be swapped, and swapped back by now: then a name was that of another column."""
    if listed is not None:  # the others are as good as dropped
        order = [name if name in listed else "" for name in order]
    left_out = relation.known.difference(relation.order)  # generated: not every source sends them
    streamed = [name for name in streamed if name not in left_out]
    places = {name: place for place, name in enumerate(order)}
    for place, name in enumerate(relation.order):
        is_mapped = any(column.name == name for column in relation.columns)
        if is_mapped and (places.get(name) != place or not _is_in_place(name, streamed, order)):
            return f"in the stream its column {name} may be another one of that name"
    return None


def _is_in_place(name: str, streamed: Sequence[str], order: Sequence[str]) -> bool:
    """Whether `name` is in the stream what it is now, as far as places tell.

    Columns are streamed in the order in which they were added. Of those that are there now, all
    that were added before this one were there when it was, whatever they were called. So it can't
    be a later one unless an unknown name stands before it and not all later places are taken.
    """
    place = list(order).index(name)
    before, after = order[:place], order[place + 1 :]
    if name not in streamed:  # it was added later, so nothing that is later still is streamed
        return set(streamed).isdisjoint(after)
    at = list(streamed).index(name)
    earlier, later = streamed[:at], streamed[at + 1 :]
    if len(earlier) > len(before) or len(later) > len(after):
        return False
    known = [each for each in earlier if each in order]
    return known == [*filter(None, before)] and (known == earlier or len(later) == len(after))


def _lacking_reason(
    streamed: Sequence[str],
    wanted: Mapping[str, Column],
    lacking: Sequence[str],
    are_still_there: Callable[[Collection[str]], bool],
) -> str | None:
    """Columns that were added later are the last ones, and null in rows from before."""
    in_order = [name for name in streamed if name in wanted]
    if in_order != [name for name in wanted if name not in lacking]:
        return f"the stream has its columns in the order {', '.join(in_order)}"
    came_later = list(wanted)[len(in_order) :] == lacking and all(
        wanted[name].plain for name in lacking
    )
    if lacking and not (came_later and are_still_there(lacking)):
        return f"the stream has no column {', '.join(lacking)}"
    return None


def _type_reason(message: RelationMessage, wanted: Mapping[str, Column]) -> str | None:
    for column in message.columns:
        known = wanted.get(column.name)
        if known is not None and known.type.oid not in {0, column.type_oid}:
            was = known.protection.declared if known.protection else known.type.declared
            return f"in the stream its column {column.name} has another type than {was}"
    return None


def _identity_reason(message: RelationMessage, relation: Relation) -> str | None:
    """What is sent of old rows must be what the mapping was checked against.

    For a partitioned table the partitions decide that, and the stream describes only the table.
    """
    if relation.kind == "partitioned":
        return None
    streamed = {column.name for column in message.columns if column.in_key}
    lost = [column.name for column in relation.columns if column.in_identity]
    lost = [name for name in lost if name not in streamed]
    if lost or (relation.replica_identity == "full" and message.replica_identity != "f"):
        return f"in the stream old rows come without {', '.join(lost) or 'their values'}"
    return None


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turn the decoders' errors into a SourceError: going on would leave a row out."""
    try:
        yield
    except (RejectedError, ValueError) as error:
        raise SourceError(
            f"{what} can't be understood: {error}. If a type was altered (alter type), start "
            "again; if this comes again, it is a bug of cdc-daemon: please report it"
        ) from error
