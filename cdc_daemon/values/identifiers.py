"""Document ids: what a key is as `::text`, taken back from its JSON, joined and bounded."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import orjson

from cdc_daemon.errors import ConfigurationError, RejectedError
from cdc_daemon.values.scalars import BACKSLASH, NULL, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import ColumnType

MAX_ID_BYTES: Final = 512
"""OpenSearch's limit for `_id`, in UTF-8."""

DIGEST_PREFIX: Final = b"sha256:"
_QUOTED_DIGEST_PREFIX: Final = b'"' + DIGEST_PREFIX
_QUOTES: Final = 2
_BAR: Final = ord("|")
_COLON: Final = ord(":")
_SLASH: Final = ord("/")
_EMPTY: Final = b'""'

_LONG_ZONE: Final = re.compile(rb':00(?=( BC)?"$)')

_UNSUITABLE: Final = frozenset(
    {"json", "xml", "hstore", "int2vector", "oidvector", "vector", "halfvec"}
)
_BARE: Final = frozenset({"bool", "int2", "int4", "int8", "numeric", "float4", "float8"})


def id_encoder(type: ColumnType) -> Encoder:  # noqa: A002 - the name of the API
    """From the JSON of a key value to the JSON string of what the value is as `::text`.

    Raises ConfigurationError for a type whose text can't be had back from its JSON: arrays,
    composites, json, xml, hstore, vectors. The encoder raises RejectedError for null (NaN is null,
    too).
    """
    base = type.base
    if base.kind in {"array", "composite"} or (base.kind == "base" and base.name in _UNSUITABLE):
        msg = (
            f"a column of type {type.declared or type.name} can't be part of a document id: "
            "its text can't be derived exactly. Choose other columns with `id: [columns]`."
        )
        raise ConfigurationError(msg)
    return _TEXT_AGAIN.get(base.name, _string) if base.kind == "base" else _string


def _string(value: bytes) -> bytes:
    return value if value != NULL else _refuse_null()


def _bare(value: bytes) -> bytes:
    return b'"%b"' % value if value != NULL else _refuse_null()


def _jsonb(value: bytes) -> bytes:
    return b"%b" % orjson.dumps(value.decode()) if value != NULL else _refuse_null()


def _refuse_null() -> bytes:
    raise RejectedError("null_id", "a document id can't be made of NULL or NaN")


def _blank_padded(value: bytes) -> bytes:
    """`char(n)` is padded in the row, and not as `::text`."""
    return _string(value)[:-1].rstrip(b" ") + b'"'


def _timestamp(value: bytes) -> bytes:
    return _string(value).replace(b"T", b" ", 1)


def _timestamptz(value: bytes) -> bytes:
    """The zone is UTC, as `SESSION_SETTINGS` ask: `+00:00` was `+00`."""
    shown = _timestamp(value)
    return shown[:-4] + b'"' if shown[-7:] == b'+00:00"' else _LONG_ZONE.sub(b"", shown)


def _inet(value: bytes) -> bytes:
    """`::text` always names the length of the network; the output function leaves a host's out."""
    if _SLASH in _string(value):
        return value
    return value[:-1] + (b'/128"' if _COLON in value else b'/32"')


_TEXT_AGAIN: Final[dict[str, Encoder]] = {
    **dict.fromkeys(_BARE, _bare),
    "jsonb": _jsonb,
    "bpchar": _blank_padded,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "inet": _inet,
}


def join_id(parts: Sequence[bytes]) -> bytes:
    r"""One document id of the JSON strings that `id_encoder` gave, as a JSON string.

    One part is the id as it is. Several are joined by `|`, with `|` and `\` in them escaped by `\`.
    An id that OpenSearch would refuse (empty, or over 512 bytes) becomes `sha256:` and 64
    hexadecimal digits, and so does one that begins with `sha256:`: two keys never share an id.
    """
    joined = parts[0] if len(parts) == 1 else b'"%b"' % b"|".join(map(_escape, parts))
    short = len(joined) <= MAX_ID_BYTES + _QUOTES and joined != _EMPTY
    if short and not joined.startswith(_QUOTED_DIGEST_PREFIX):
        return joined
    return _digest(joined)


def split_id(text: str) -> list[str]:
    """The parts that `join_id` has joined, but for a digest."""
    parts, escaped = [""], False
    for letter in text:
        if not escaped and letter in "|\\":
            escaped = letter == "\\"
            parts += [""] * (not escaped)
        else:
            parts[-1] += letter
            escaped = False
    return parts


def fill_id(texts: Sequence[str], parts: Sequence[bytes]) -> bytes:
    r"""One document id of the JSON strings that `id_encoder` gave, between `texts`, as JSON string.

    Where there are several parts, the beginning of the text that follows is escaped within a part
    by `\`, and so is `\`: two keys never share an id. Bounded as by `join_id`.
    """
    filled = texts[0]
    for part, following in zip(parts, texts[1:], strict=True):
        plain: str = orjson.loads(part)
        filled += (plain if len(parts) == 1 else _marked(plain, following[:1])) + following
    return join_id([orjson.dumps(filled)])


def _marked(part: str, end: str) -> str:
    escaped = part.replace("\\", r"\\")
    return escaped.replace(end, "\\" + end) if end else escaped


def _escape(part: bytes) -> bytes:
    if BACKSLASH not in part and _BAR not in part:
        return part[1:-1]
    plain: str = orjson.loads(part)
    return orjson.dumps(plain.replace("\\", r"\\").replace("|", r"\|"))[1:-1]


def _digest(joined: bytes) -> bytes:
    """JSON's escapes make an id longer, so what looks too long may not be."""
    plain = orjson.loads(joined).encode()
    if 0 < len(plain) <= MAX_ID_BYTES and not plain.startswith(DIGEST_PREFIX):
        return joined
    return b'"%b%b"' % (DIGEST_PREFIX, hashlib.sha256(plain).hexdigest().encode())
