"""Compile fields to one function from row to document.

The document of a row is one bytes template filled with the row's JSON values: 0.5 us for ten
columns, whatever their types (`benchmarks/project.py`).
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, cast

import orjson

from cdc_daemon.events import Special
from cdc_daemon.values.forms import Conversion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Row
    from cdc_daemon.values import Encoder

_NULL = b"null"


class Part(NamedTuple):
    """Where the value of one field comes from: exactly one of the three."""

    name: str
    place: int | None = None
    """A place in the row."""
    evaluate: Callable[[Row], bytes] | None = None
    """An expression."""
    constant: bytes | None = None
    """JSON text."""
    default: bytes | None = None
    """JSON text for where the value is NULL."""
    conversion: Conversion = Conversion()
    """What is done to the value, and what more to a `Special` one."""


def compile_document(
    parts: Sequence[Part], *, with_special: bool = False
) -> Callable[[Row], bytes]:
    """The function that makes the document: `{"name":value,...}` in the order of `parts`.

    `with_special`: of rows that hold `Special` values; they are rare, so it may take longer.
    """
    template = b"{" + b",".join(_slot(part) for part in parts) + b"}"
    values = [part for part in parts if part.constant is None]
    if not with_special and all(_is_taken_as_it_is(part) for part in values):
        return _of_columns(template, [cast("int", part.place) for part in values])
    getters = [compile_value(part, with_special=with_special) for part in values]

    def of_anything(row: Row) -> bytes:
        return template % tuple([get(row) for get in getters])

    return of_anything


def _slot(part: Part) -> bytes:
    name = orjson.dumps(part.name).replace(b"%", b"%%")
    if part.constant is not None:
        return name + b":" + part.constant.replace(b"%", b"%%")
    return name + b":%b"


def _of_columns(template: bytes, places: list[int]) -> Callable[[Row], bytes]:
    if not places:
        body = template % ()
        return lambda _: body
    if len(places) == 1:
        place = places[0]
        return lambda row: template % cast("bytes", row[place])
    pick = itemgetter(*places)
    return lambda row: template % pick(row)


def _is_taken_as_it_is(part: Part) -> bool:
    return part.place is not None and part.default is None and part.conversion.always is None


def compile_value(part: Part, *, with_special: bool) -> Callable[[Row], bytes]:
    """The function that makes the value of one field, which is no constant."""
    get = cast("Callable[[Row], bytes]", part.evaluate or itemgetter(part.place))
    always, special = part.conversion
    if always is not None:
        get = _converted(get, always)
    elif with_special and special is not None:
        get = _looked_at(get, special)
    return get if part.default is None else _with_default(get, part.default)


def _converted(get: Callable[[Row], bytes], convert: Encoder) -> Callable[[Row], bytes]:
    def converted(row: Row) -> bytes:
        value = get(row)
        return value if value == _NULL else convert(value)

    return converted


def _looked_at(get: Callable[[Row], bytes], convert: Encoder) -> Callable[[Row], bytes]:
    def looked_at(row: Row) -> bytes:
        value = get(row)
        return convert(value.exact) if isinstance(value, Special) else value

    return looked_at


def _with_default(get: Callable[[Row], bytes], default: bytes) -> Callable[[Row], bytes]:
    def with_default(row: Row) -> bytes:
        value = get(row)
        return default if value == _NULL else value

    return with_default
