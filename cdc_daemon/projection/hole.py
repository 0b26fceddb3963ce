"""A document that can't be made yet: the source has left out a value that it stores out of line.

As a content that travels to its commit like any other; there its row is read by its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cdc_daemon.events import Column

MARK: Final = b"?"
"""The first byte of such a content: a document begins with a brace."""

MARK_BYTE: Final = MARK[0]


def hole(key: Iterable[tuple[Column, bytes]]) -> bytes:
    """The content that stands for the document of the row with that key (values as JSON text)."""
    return MARK + b"[%b]" % b",".join(_source_text(*part) for part in key)


def _source_text(column: Column, value: bytes) -> bytes:
    """A JSON string of it, or a number; of jsonb the source's text is the value itself."""
    return orjson.dumps(value.decode()) if column.type.base.name == "jsonb" else value


def is_hole(content: bytes | None) -> bool:
    """Whether it stands for a document that lacks a value."""
    return content is not None and content[0] == MARK_BYTE


def read_key(content: bytes) -> tuple[str, ...]:
    """The key that `hole` wrote, as the source's text of each value."""
    values = orjson.loads(content[len(MARK) :])
    if all(isinstance(value, str) for value in values):
        return tuple(values)
    return tuple(_texts(content[len(MARK) + 1 : -1], len(values)))


def _texts(joined: bytes, count: int) -> Iterable[str]:
    """Numbers stay as they are written: as floats they would lose digits."""
    rest = joined
    for _ in range(count):
        end = _end_of_value(rest)
        value, rest = rest[:end], rest[end + 1 :]
        yield orjson.loads(value) if value[:1] == b'"' else value.decode()


def _end_of_value(text: bytes) -> int:
    if text[:1] != b'"':
        end = text.find(b",")
        return len(text) if end < 0 else end
    at = 1
    while text[at : at + 1] != b'"':
        at += 2 if text[at : at + 1] == b"\\" else 1
    return at + 1
