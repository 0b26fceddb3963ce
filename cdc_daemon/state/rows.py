"""Rows as bytes: the JSON text of each value, found by its place without reading the others. Pure.

    form (1 byte) | where each value begins, and the last one ends | values

Where values begin takes 16 bits each, or 32 in a long row. A row of plain JSON text is its values
as they are; in one that holds anything else (`Special`, `Unreadable`, `UNCHANGED`), each value
begins with a byte that says what it is. Ten columns: packed in 1.1 us, one value read in 0.25 us.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, pairwise
from struct import Struct
from typing import TYPE_CHECKING, Final

from cdc_daemon.events import UNCHANGED, Special, Unchanged, Unreadable
from cdc_daemon.values.special import special

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cdc_daemon.events import Row, Value

_SHORT, _LONG, _ODD = range(3)
_SHORT_MOST: Final = 0xFFFF
_PAIRS: Final = (Struct("<HH"), Struct("<II"), Struct("<II"))
_WIDTHS: Final = (2, 4, 4)
_short_pair: Final = _PAIRS[0].unpack_from
_FIRST: Final = (Struct("<H"), Struct("<I"), Struct("<I"))
_LENGTH: Final = Struct("<I")

_PLAIN, _SPECIAL, _UNREADABLE, _UNCHANGED = (bytes((n,)) for n in range(4))
_HIDDEN: Final = b"-"
_SHOWN: Final = b"+"


@lru_cache(maxsize=4096)
def _offsets(form: int, count: int) -> tuple[int, Struct]:
    """How long the head is, and its `count + 1` numbers."""
    numbers = Struct("<" + "HII"[form] * (count + 1))
    return 1 + numbers.size, numbers


def pack(row: Sequence[bytes]) -> bytes:
    """A row of plain JSON text."""
    count = len(row)
    head, numbers = _offsets(_SHORT, count)
    ends = list(accumulate(map(len, row), initial=head))
    if ends[-1] <= _SHORT_MOST:
        return b"\0" + numbers.pack(*ends) + b"".join(row)
    return _pack_long(_LONG, row)


def pack_odd(row: Sequence[Value]) -> bytes:
    """A row that may hold any value."""
    if {type(value) for value in row} == {bytes}:
        return pack(row)  # type: ignore[arg-type]  # it is looked at above
    return _pack_long(_ODD, [_tagged(value) for value in row])


def _pack_long(form: int, values: Sequence[bytes]) -> bytes:
    head, numbers = _offsets(form, len(values))
    ends = accumulate(map(len, values), initial=head)
    return bytes((form,)) + numbers.pack(*ends) + b"".join(values)


def is_odd(packed: bytes) -> bool:
    """Whether the row may hold anything but plain JSON text."""
    return packed[0] == _ODD


def value_at(packed: bytes, place: int) -> Value:
    """One value."""
    form = packed[0]
    if form == _SHORT:  # nearly all rows
        begin, end = _short_pair(packed, 1 + 2 * place)
        return packed[begin:end]
    begin, end = _PAIRS[form].unpack_from(packed, 1 + place * _WIDTHS[form])
    value = packed[begin:end]
    return _untagged(value) if form == _ODD else value


def stored_at(packed: bytes, place: int) -> bytes:
    """One value as it is stored in rows that hold anything, whatever row it is of."""
    form = packed[0]
    begin, end = _PAIRS[form].unpack_from(packed, 1 + place * _WIDTHS[form])
    return packed[begin:end] if form == _ODD else _PLAIN + packed[begin:end]


def differ(old: bytes, new: bytes, places: Iterable[int]) -> bool:
    """Whether two rows have other values there; NULL and NaN are two, though both `null`."""
    at = stored_at if old[0] == _ODD or new[0] == _ODD else value_at
    for place in places:  # noqa: SIM110 - `any` takes twice as long, and each change comes here
        if at(old, place) != at(new, place):
            return True
    return False


def values_at(packed: bytes, places: Sequence[int]) -> list[Value]:
    """Some values."""
    return [value_at(packed, place) for place in places]


def unpack(packed: bytes) -> Row:
    """All values."""
    form = packed[0]
    (head,) = _FIRST[form].unpack_from(packed, 1)
    _, numbers = _offsets(form, (head - 1) // _WIDTHS[form] - 1)
    values = [packed[begin:end] for begin, end in pairwise(numbers.unpack_from(packed, 1))]
    return [_untagged(value) for value in values] if form == _ODD else values  # type: ignore[return-value]  # bytes are values


def unpacker(count: int) -> Callable[[bytes], Row]:
    """`unpack` for rows of which the first `count` values are wanted: in half the time."""
    numbers = Struct(f"<{count + 1}H").unpack_from

    def first_values(packed: bytes) -> Row:
        if packed[0] == _SHORT:  # nearly all rows
            return [packed[begin:end] for begin, end in pairwise(numbers(packed, 1))]
        return unpack(packed)[:count]

    return first_values


def _tagged(value: Value) -> bytes:
    if isinstance(value, Special):
        return _SPECIAL + _LENGTH.pack(len(value)) + value + value.exact
    if isinstance(value, Unreadable):
        raw = _HIDDEN if value.raw is None else _SHOWN + value.raw
        texts = value.reason.encode(), value.explanation.encode(), raw
        return _UNREADABLE + b"\0".join(texts)
    return _UNCHANGED if isinstance(value, Unchanged) else _PLAIN + value


def _untagged(stored: bytes) -> Value:
    tag, rest = stored[:1], stored[1:]
    if tag == _PLAIN:
        return rest
    if tag == _SPECIAL:
        (length,) = _LENGTH.unpack_from(rest)
        begin = _LENGTH.size
        return special(rest[begin : begin + length], rest[begin + length :])
    if tag == _UNREADABLE:
        reason, explanation, raw = rest.split(b"\0", 2)
        shown = None if raw == _HIDDEN else raw[1:]
        return Unreadable(reason.decode(), explanation.decode(), shown)
    return UNCHANGED


def filled(new: bytes, old: bytes | None) -> bytes:
    """`new`, with values that were not sent (`UNCHANGED`) from `old`, as far as it has them."""
    if old is None or new[0] != _ODD:
        return new
    row = unpack(new)
    kept = unpack(old)
    return pack_odd([kept[n] if v is UNCHANGED else v for n, v in enumerate(row)])


def is_incomplete(packed: bytes) -> bool:
    """Whether a value is missing: it was not sent, and nobody knew it."""
    return packed[0] == _ODD and any(value is UNCHANGED for value in unpack(packed))
