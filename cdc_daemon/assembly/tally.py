"""Aggregates that are kept as counters: which they are, what a row adds, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from cdc_daemon.assembly.lookup import downwards
from cdc_daemon.assembly.results import FLOATS, average_of, sum_of, truth
from cdc_daemon.assembly.sequence import argument, is_null, type_of
from cdc_daemon.events import Special
from cdc_daemon.state import Counter, counted, counted_only, values_at
from cdc_daemon.values.scalars import NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.events import Row, Value
    from cdc_daemon.projection.joined.plan import Embed, Field, Level
    from cdc_daemon.state import Batch, View

ONE: Final = Counter(1)
"""A row."""
UNKNOWN: Final = Counter(1, 1, 1)
"""A row that can't be read, or whose expression fails: the rows must be asked, which says why."""
SCALE_BITS: Final = 48
"""How many values have so many digits after the point takes so many bits in a counter of scales."""
_TYPMOD_OFFSET: Final = 4
_SCALE_MASK: Final = 0x7FF
_SCALE_SIGN: Final = 0x400


def is_kept(embed: Embed, above: Level) -> bool:
    """Whether counters can tell it: exact, and of more rows than a key finds."""
    if embed.kind not in {"count", "sum", "avg", "bool_and", "bool_or"} or embed.distinct:
        return False
    if downwards(embed.steps[0], above.relation).wanted is None:
        return False
    if embed.value is None or embed.kind not in {"sum", "avg"}:
        return True
    return type_of(embed.value, embed.level).base.name not in FLOATS


def name_of(embed: Embed, above: Level) -> str:
    """All that its counter depends on: what has the same name shares it.

    The index whose groups have the counters belongs to it: another type of what a row is found by
    makes other groups.
    """
    first = downwards(embed.steps[0], above.relation).wanted
    assert first is not None  # noqa: S101 - `is_kept`
    value = None if embed.value is None else _value_meaning(embed.value, embed.level)
    return orjson.dumps([first.text, _way_meaning(embed), value, _sort_of(embed)]).decode()


def scales_name_of(embed: Embed, above: Level) -> str | None:
    """The counter of its scales, where PostgreSQL's sum has as many digits as the longest value."""
    if _sort_of(embed) != "numeric" or declared_scale(embed) is not None:
        return None
    return "scales of " + name_of(embed, above)


def declared_scale(embed: Embed) -> int | None:
    """Digits after the point, where every value has as many; None where each has its own."""
    field = embed.value
    if field is None:
        return None
    type_ = type_of(field, embed.level)
    if type_.base.name != "numeric":
        return 0
    if field.expression is not None or type_.kind != "base" or type_.modifier < _TYPMOD_OFFSET:
        return None
    scale = (type_.modifier - _TYPMOD_OFFSET) & _SCALE_MASK
    return max((scale ^ _SCALE_SIGN) - _SCALE_SIGN, 0)


def _sort_of(embed: Embed) -> str:
    if embed.value is None:
        return "rows"
    name = type_of(embed.value, embed.level).base.name
    return name if embed.kind != "count" else "values"


def _way_meaning(embed: Embed) -> list[object]:
    steps = [
        [step.relation.qualified_name, step.pairs, step.where.sql if step.where else None]
        for step in embed.steps
    ]
    level = embed.level
    lenders = {each.embed for each in level.borrowed}
    return [
        steps,
        level.where.sql if level.where else None,
        [[one.name, _way_meaning(one)] for one in level.embeds if one.name in lenders],
    ]


def _value_meaning(field: Field, level: Level) -> str:
    if field.expression is not None:
        return field.expression.sql
    if field.part.place is None:
        return "constant"
    return orjson.dumps([level.readable.columns[field.part.place].name]).decode()


def counters_of(embed: Embed, above: Level) -> Iterator[tuple[str, Callable[[bytes], Counter]]]:
    """The counters that it needs by name, and what a row adds to each, by its `value_of`."""
    yield name_of(embed, above), _adds(embed)
    scales = scales_name_of(embed, above)
    if scales is not None:
        yield scales, _scale_added


def value_of(embed: Embed) -> Callable[[Row], bytes]:
    """The function that gives what is counted or summed of a row; of rows themselves anything."""
    return (lambda _: NULL) if embed.value is None else argument(embed.value)


def _adds(embed: Embed) -> Callable[[bytes], Counter]:
    if embed.value is None:
        return lambda _: ONE
    summed = _SUMMED.get(_sort_of(embed), counted)
    return lambda value: ONE if is_null(value) else summed(value)


def _scale_added(value: bytes) -> Counter:
    text = value.exact if isinstance(value, Special) else value
    _, _, fraction = text.partition(b".")
    return Counter(1, 0, 0, 0, 0 if is_null(value) else 1 << SCALE_BITS * len(fraction))


class Tally:
    """Reads an aggregate of a row from its counters."""

    def __init__(self, embed: Embed, above: Level, store: View) -> None:
        first = downwards(embed.steps[0], above.relation)
        assert first.wanted is not None  # noqa: S101 - `is_kept`
        self._index = store.indexes[first.wanted.text]
        near = store.tables[above.relation]
        self._places = [near.place(name) for _, name in embed.steps[0].pairs]
        self._kind = embed.kind
        self._of_rows = embed.value is None
        names = [name for name, _ in counters_of(embed, above)]
        self._number, *scales = [store.schema.aggregates[name].number for name in names]
        self._scales = scales[0] if scales else None
        self._scale = declared_scale(embed)

    def result(self, batch: Batch, near: bytes) -> bytes | None:
        """The JSON text of the result; None where the rows must be asked."""
        group = self._index.group(values_at(near, self._places))
        counter = Counter() if group is None else batch.counters.get(self._number, group)
        if counter.odd:
            return None
        if self._kind == "count":
            return b"%d" % (counter.rows if self._of_rows else counter.values)
        if group is None or not counter.values:
            return NULL
        if self._kind in {"bool_and", "bool_or"}:
            least = counter.values if self._kind == "bool_and" else 1
            return truth(counter.units >= least)
        return self._of_numbers(batch, group, counter)

    def _of_numbers(self, batch: Batch, group: bytes, counter: Counter) -> bytes:
        scale = self._scale_of(batch, group)
        more = scale - counter.digits  # less where longer values have gone: zeros are left of them
        units = counter.units * 10**more if more >= 0 else counter.units // 10**-more
        if self._kind == "sum":
            return sum_of(units, scale)
        return average_of(units, scale, counter.values)

    def _scale_of(self, batch: Batch, group: bytes) -> int:
        """The most digits after the point that a value has."""
        if self._scales is None:
            return self._scale or 0
        return (batch.counters.get(self._scales, group).units.bit_length() - 1) // SCALE_BITS


_SUMMED: Final[dict[str, Callable[[Value], Counter]]] = {
    "values": counted_only,
    "bool": lambda value: Counter(1, 1, 0, 0, int(value == b"true")),
}
