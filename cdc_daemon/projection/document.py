"""Compile fields to one function from row to document.

The document of a row is one bytes template filled with the row's JSON values: 0.5 us for ten
columns, whatever their types (`benchmarks/project.py`).
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, cast

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cdc_daemon.events import Row

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


def compile_document(parts: Sequence[Part]) -> Callable[[Row], bytes]:
    """The function that makes the document: `{"name":value,...}` in the order of `parts`."""
    template = b"{" + b",".join(_slot(part) for part in parts) + b"}"
    values = [part for part in parts if part.constant is None]
    if all(part.place is not None and part.default is None for part in values):
        return _of_columns(template, [cast("int", part.place) for part in values])
    getters = [_getter(part) for part in values]

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


def _getter(part: Part) -> Callable[[Row], bytes]:
    get = cast("Callable[[Row], bytes]", part.evaluate or itemgetter(part.place))
    if part.default is None:
        return get
    default = part.default

    def with_default(row: Row) -> bytes:
        value = get(row)
        return default if value == _NULL else value

    return with_default
