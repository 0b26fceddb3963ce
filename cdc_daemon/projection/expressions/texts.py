"""Functions of text as PostgreSQL runs them in a UTF-8 database."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from cdc_daemon.values.civil_time import reject

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST: Final = 64 * 1024 * 1024
"""Characters that `repeat`, `lpad` and `rpad` may make; PostgreSQL stops at 1 GiB."""
_BASE64_LINE: Final = 57
"""Bytes: 76 characters."""


def _simple(character: str, mapped: str, title: str) -> str:
    """One character stays one: PostgreSQL maps case without special casing (ß stays ß)."""
    if len(mapped) == 1:
        return mapped
    return title if len(title) == 1 else character


def lower(text: str) -> str:
    """Unicode's simple lower case, character by character."""
    quick = text.lower()
    if len(quick) == len(text) and "\u03a3" not in text:  # final sigma is a special case
        return quick
    return "".join("i" if c == "\u0130" else _simple(c, c.lower(), c) for c in text)


def upper(text: str) -> str:
    """Unicode's simple upper case, character by character."""
    quick = text.upper()
    if len(quick) == len(text):
        return quick
    return "".join(_simple(c, c.upper(), c.title()) for c in text)


def substring(text: str, start: int, length: int | None = None) -> str:
    """From `start` (1 is the first character) for `length` characters."""
    begin = start - 1
    if length is None:
        return text[max(begin, 0) :]
    if length < 0:
        reject("substring_error", "negative substring length not allowed")
    return text[max(begin, 0) : max(begin + length, 0)]


def left(text: str, count: int) -> str:
    """The first characters; negative: all but the last ones."""
    return text[:count]


def right(text: str, count: int) -> str:
    """The last characters; negative: all but the first ones."""
    return text[max(len(text) - count, 0) :] if count >= 0 else text[-count:]


def replace(text: str, old: str, new: str) -> str:
    """Every `old` becomes `new`; an empty `old` changes nothing."""
    return text.replace(old, new) if old else text


def split_part(text: str, separator: str, field: int) -> str:
    """The field, counted from 1, or from the end when negative; empty if there is none."""
    if field == 0:
        reject("invalid_parameter_value", "field position must not be zero")
    parts = text.split(separator) if separator else [text]
    at = field - 1 if field > 0 else len(parts) + field
    return parts[at] if 0 <= at < len(parts) else ""


def position(text: str, part: str) -> int:
    """Where `part` begins, counted from 1; 0 if it doesn't occur."""
    return text.find(part) + 1


def repeat(text: str, count: int) -> str:
    """`text` so many times."""
    if len(text) * count > LONGEST:
        reject("program_limit_exceeded", "requested length too large")
    return text * count


def _padding(text: str, length: int, fill: str) -> str:
    missing = length - len(text)
    if missing <= 0 or not fill:
        return ""
    if length > LONGEST:
        reject("program_limit_exceeded", "requested length too large")
    return (fill * (missing // len(fill) + 1))[:missing]


def pad_left(text: str, length: int, fill: str = " ") -> str:
    """Exactly `length` characters: cut at the right or filled at the left."""
    return _padding(text, length, fill) + text[: max(length, 0)]


def pad_right(text: str, length: int, fill: str = " ") -> str:
    """Exactly `length` characters: cut or filled at the right."""
    return text[: max(length, 0)] + _padding(text, length, fill)


def md5(text: str) -> str:
    """32 hexadecimal digits."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def md5_bytes(value: bytes) -> str:
    """32 hexadecimal digits."""
    return hashlib.md5(value, usedforsecurity=False).hexdigest()


def encode(value: bytes, form: str) -> str:
    """`hex` or `base64` (with a line feed after every 76 characters)."""
    if form.lower() == "hex":
        return value.hex()
    if form.lower() != "base64":
        reject(
            "invalid_parameter_value", f"encode() is supported for 'hex' and 'base64', not {form!r}"
        )
    lines = (value[at : at + _BASE64_LINE] for at in range(0, len(value), _BASE64_LINE))
    return b"".join(
        base64.b64encode(line) + b"\n" * (len(line) == _BASE64_LINE) for line in lines
    ).decode()


def byte_length(text: str) -> int:
    """Bytes in UTF-8."""
    return len(text.encode())


def concat(*parts: str | None) -> str:
    """All that is not NULL."""
    return "".join(part for part in parts if part is not None)


def concat_with(separator: str | None, *parts: str | None) -> str | None:
    """All that is not NULL, with the separator between."""
    return None if separator is None else separator.join(p for p in parts if p is not None)


# --- LIKE


def like_pattern(pattern: str, escape: str = "\\") -> list[str]:
    """A pattern in pieces: `%`, `_`, and everything else with a `=` before it."""
    pieces: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            following = next(characters, None)
            if following is None:
                reject("invalid_escape_sequence", "LIKE pattern must not end with escape character")
            pieces.append("=" + following)
        else:
            pieces.append(character if character in "%_" else "=" + character)
    return pieces


def like_matcher(pattern: str, escape: str = "\\") -> Callable[[str], Any]:
    """A function that tells whether a text matches, as cheap as the pattern allows."""
    if len(escape) > 1:
        reject(
            "invalid_escape_sequence", "invalid escape string: it must be empty or one character"
        )
    pieces = like_pattern(pattern, escape)
    inner = pieces[1:-1] if len(pieces) > 1 else []
    if "_" not in pieces and "%" not in inner:
        text = "".join(piece[1:] for piece in pieces)
        if found := _plain_matcher(text, pieces):
            return found
    expression = "".join({"%": ".*", "_": "."}.get(p) or re.escape(p[1:]) for p in pieces)
    matches = re.compile(expression, re.DOTALL).fullmatch
    return lambda text: matches(text) is not None


def _plain_matcher(text: str, pieces: list[str]) -> Callable[[str], Any] | None:
    before, after = pieces[:1] == ["%"], pieces[-1:] == ["%"]
    if before and after:
        return None if pieces == ["%"] else lambda value: text in value
    if after:
        return lambda value: value.startswith(text)
    if before:
        return lambda value: value.endswith(text)
    return lambda value: value == text


_matcher = lru_cache(maxsize=1024)(like_matcher)


def like(text: str, pattern: str, escape: str = "\\") -> bool:
    """`text LIKE pattern`, for patterns that are known only in the row."""
    return bool(_matcher(pattern, escape)(text))


def ilike(text: str, pattern: str, escape: str = "\\") -> bool:
    """`text ILIKE pattern`: both in lower case."""
    return bool(_matcher(lower(pattern), escape)(lower(text)))
