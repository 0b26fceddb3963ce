"""The rows that an embed takes, in its order: read by an index that has it, or sorted."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from cdc_daemon.assembly.lookup import NO_ORDER, Order
from cdc_daemon.assembly.roles import Way
from cdc_daemon.projection.joined.ordering import reversed_order
from cdc_daemon.state import Part, identity_of, key_encoder, ordered
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cdc_daemon.assembly.roles import Reached
    from cdc_daemon.events import ColumnType, Row, Value
    from cdc_daemon.projection.joined.plan import Embed, Field, Level, OrderKey
    from cdc_daemon.state import Batch, View


def order_of(embed: Embed) -> Order | None:
    """The order in which rows are found; None where they are to be sorted."""
    if not embed.order:
        return NO_ORDER
    if len(embed.steps) > 1:
        return None
    if embed.kind in {"min", "max"} and (part := _extreme_first(embed)) is not None:
        return Order((part,))
    return _order_by_index(embed)


def _order_by_index(embed: Embed) -> Order | None:
    forward = _without_key(embed.order, embed)
    backward = _without_key(reversed_order(embed.order), embed)
    if forward == () or (forward is None and backward == ()):
        return Order((), reverse=forward is None)
    if embed.limit is None and embed.kind not in {"first", "last"}:
        return None  # all are read anyhow: an index without an order serves others as well
    if forward is None and backward is not None:
        return Order(backward, reverse=True)
    return Order(_parts(embed.order) if forward is None else forward)


def _extreme_first(embed: Embed) -> Part | None:
    """What puts the least or greatest value first, where a column of the table has it."""
    field = embed.value
    own = embed.level.relation.columns
    if field is None or field.part.place is None or field.part.place >= len(own):
        return None
    column = own[field.part.place]
    return Part(column.name, column.type, descending=embed.kind == "max")


def _without_key(order: Sequence[OrderKey], embed: Embed) -> tuple[Part, ...] | None:
    """Without the key at its end, which every index has; None where it doesn't end so."""
    key = identity_of(embed.level.relation)
    end = order[-len(key) :]
    if tuple(one.column for one in end) != key or any(one.descending for one in end):
        return None
    return _parts(order[: -len(key)])


def _parts(order: Iterable[OrderKey]) -> tuple[Part, ...]:
    return tuple(Part(one.column, one.type, one.descending, one.nulls_first) for one in order)


class InOrder:
    """The rows that an embed takes, before its limit."""

    def __init__(self, embed: Embed, above: Level, store: View) -> None:
        order = order_of(embed)
        self._way = Way(
            embed,
            above,
            store,
            order or NO_ORDER,
            all_at_once=embed.kind == "many" and embed.limit is None,
        )
        self._place = _place(embed) if order is None else None
        self._same = _sameness(embed) if embed.distinct else None

    def rows(self, batch: Batch, near: bytes) -> Iterator[Reached]:
        """Those that belong to a row. Raises RejectedError where one of them can't be read."""
        found: Iterable[Reached] = self._way.rows(batch, near)
        if self._place is not None:
            found = sorted(found, key=self._place)
        return iter(found) if self._same is None else _distinct(found, self._same)


def _distinct(found: Iterable[Reached], same: Callable[[Reached], bytes]) -> Iterator[Reached]:
    """Of equal ones the first."""
    seen = set()
    for one in found:
        what = same(one)
        if what not in seen:
            seen.add(what)
            yield one


def _place(embed: Embed) -> Callable[[Reached], bytes]:
    """Sorts as the order of the embed."""
    readable = embed.level.readable
    encoders = [(readable.index_of(part.column), ordered(part)) for part in _parts(embed.order)]

    def place(reached: Reached) -> bytes:
        row = reached[1]
        return b"".join([encode(row[at]) for at, encode in encoders])

    return place


def _sameness(embed: Embed) -> Callable[[Reached], bytes]:
    """Equal for what `distinct` calls equal."""
    if embed.value is None:
        return lambda reached: reached[0]
    encode = key_encoder(type_of(embed.value, embed.level))
    get = argument(embed.value)

    def same(reached: Reached) -> bytes:
        value = get(reached[1])
        return NULL if is_null(value) else b"=" + encode(value)

    return same


def argument(field: Field) -> Callable[[Row], bytes]:
    """The function that gives what is aggregated, or told apart: before it has its form."""
    if field.part.constant is not None:
        constant = field.part.constant
        return lambda _: constant
    return field.part.evaluate or itemgetter(field.part.place)


def is_null(value: Value) -> bool:
    """NaN is null in JSON, but a value."""
    return value == NULL and type(value) is bytes


def type_of(field: Field, level: Level) -> ColumnType:
    """The type of what `argument` gives."""
    if field.expression is not None:
        return field.expression.type
    return level.readable.columns[field.part.place or 0].type
