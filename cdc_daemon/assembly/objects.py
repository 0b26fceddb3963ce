"""Objects and what embeds hold, as JSON, from the state as it is."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import orjson

from cdc_daemon.assembly.results import result_of
from cdc_daemon.assembly.sequence import InOrder, argument, is_null, order_of, type_of
from cdc_daemon.assembly.tally import Tally, is_kept
from cdc_daemon.projection.document import compile_document, compile_value
from cdc_daemon.state import is_odd
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from cdc_daemon.assembly.roles import Reached
    from cdc_daemon.events import Row
    from cdc_daemon.projection.joined.plan import Embed, Field, Level
    from cdc_daemon.state import Batch, View

    Show: TypeAlias = "Callable[[Batch, bytes], bytes]"
    """From a packed row to the JSON of what belongs to it."""

_AGGREGATES = frozenset({"count", "sum", "avg", "min", "max", "bool_and", "bool_or"})


class Objects:
    """Makes the objects of a level."""

    def __init__(self, level: Level, store: View) -> None:
        parts = [field.part for field in level.fields]
        self._plain = compile_document(parts)
        self._special = compile_document(parts, with_special=True)
        self._borrows = bool(level.borrowed)
        self._embeds = [
            (b",%b:" % orjson.dumps(embed.name), shown(embed, level, store))
            for embed in level.embeds
            if embed.shown
        ]

    def of(self, batch: Batch, packed: bytes, row: Row) -> bytes:
        """The object of a row, of which `row` is what expressions see. Raises RejectedError."""
        make = self._special if self._borrows or is_odd(packed) else self._plain
        own = make(row)
        if not self._embeds:
            return own
        body = b"".join([name + show(batch, packed) for name, show in self._embeds])
        return b"{%b}" % body[1:] if own == b"{}" else b"%b%b}" % (own[:-1], body)


def shown(embed: Embed, above: Level, store: View) -> Show:
    """The function that gives what `embed` holds."""
    reached = InOrder(embed, above, store)
    if embed.kind in _AGGREGATES:
        recount = _aggregate(embed, reached)
        return _kept(embed, above, store, recount) if is_kept(embed, above) else recount
    element = _element(embed, store)
    if embed.kind == "many":
        return _many(embed, reached, element)

    def first(batch: Batch, near: bytes) -> bytes:
        one = next(reached.rows(batch, near), None)
        return NULL if one is None else element(batch, one)

    return first


def _many(embed: Embed, reached: InOrder, element: Callable[[Batch, Reached], bytes]) -> Show:
    limit = embed.limit

    def many(batch: Batch, near: bytes) -> bytes:
        rows = islice(reached.rows(batch, near), limit)
        return b"[%b]" % b",".join([element(batch, one) for one in rows])

    return many


def _element(embed: Embed, store: View) -> Callable[[Batch, Reached], bytes]:
    """What one row gives."""
    if embed.value is not None:
        value = value_of(embed.value)
        return lambda _, one: value(one[1])
    objects = Objects(embed.level, store)
    return lambda batch, one: objects.of(batch, one[0], one[1])


def value_of(field: Field) -> Callable[[Row], bytes]:
    """The function that shows one field of a row."""
    if field.part.constant is not None:
        return argument(field)
    return compile_value(field.part, with_special=True)


def _aggregate(embed: Embed, reached: InOrder) -> Show:
    """From the rows themselves."""
    field = embed.value
    if field is None:
        return lambda batch, near: b"%d" % sum(1 for _ in reached.rows(batch, near))
    get, show = argument(field), result_shown(field)
    result = result_of(embed.kind, type_of(field, embed.level))
    most = 1 if is_extreme_first(embed) else None

    def aggregate(batch: Batch, near: bytes) -> bytes:
        values = (get(row) for _, row in reached.rows(batch, near))
        known = (value for value in values if not is_null(value))
        return show(result(list(islice(known, most))))

    return aggregate


def is_extreme_first(embed: Embed) -> bool:
    """Whether rows are found with the least or greatest value first."""
    order = order_of(embed)
    return embed.kind in {"min", "max"} and order is not None and bool(order.parts)


def result_shown(field: Field) -> Callable[[bytes], bytes]:
    """The function that gives the result of an aggregate the form of its field."""
    show = compile_value(field.part._replace(place=0, evaluate=None), with_special=True)
    return lambda result: show([result])


def _kept(embed: Embed, above: Level, store: View, recount: Show) -> Show:
    """From the counters; from the rows themselves where one of them has no exact value."""
    kept = Tally(embed, above, store)
    show = result_shown(embed.value) if embed.value is not None else bytes

    def aggregate(batch: Batch, near: bytes) -> bytes:
        found = kept.result(batch, near)
        return recount(batch, near) if found is None else show(found)

    return aggregate
