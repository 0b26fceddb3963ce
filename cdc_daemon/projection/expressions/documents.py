"""Access to jsonb values and arrays."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from cdc_daemon.projection.expressions.arithmetic import fit_int4
from cdc_daemon.values.civil_time import reject
from cdc_daemon.values.python import RawNumber, dump_jsonb, load_exact

_MISSING: Final = object()
_INDEX: Final = re.compile(r"\s*[+-]?\d+", re.ASCII)


def _step(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key, _MISSING) if isinstance(key, str) else _MISSING
    if isinstance(value, list) and isinstance(key, int):
        return value[key] if -len(value) <= key < len(value) else _MISSING
    return _MISSING


def _as_text(value: Any) -> str | None:
    if value is None or value is _MISSING:
        return None
    if isinstance(value, str) and not isinstance(value, RawNumber):
        return value
    return dump_jsonb(value)


def _field(value: Any, key: str | int) -> Any:
    """One step of `->`, for which a scalar is an array of one."""
    scalar = isinstance(key, int) and not isinstance(value, dict | list)
    return _step([value] if scalar else value, key)


class Chain:
    """`document -> key -> key`, or with `->>` at the end, in one go."""

    def __init__(self, keys: tuple[str | int, ...], *, as_text: bool) -> None:
        self.keys = keys
        self.as_text = as_text

    def __call__(self, document: bytes) -> Any:
        """What there is (bytes, or str for `->>`), or None."""
        value = self._reach(orjson.loads(document))
        if value is _MISSING:
            return None
        if not isinstance(value, str):  # numbers have lost digits, and objects may hold some
            value = self._reach(load_exact(document))
        return _as_text(value) if self.as_text else dump_jsonb(value).encode()

    def _reach(self, value: Any) -> Any:
        for key in self.keys:
            value = _field(value, key) if value is not _MISSING else value
        return value


def field(document: bytes, key: str | int) -> bytes | None:
    """`document -> key`; None is SQL's NULL, `b'null'` is JSON's."""
    found: bytes | None = Chain((key,), as_text=False)(document)
    return found


def field_text(document: bytes, key: str | int) -> str | None:
    """`document ->> key`."""
    found: str | None = Chain((key,), as_text=True)(document)
    return found


def _walk(document: bytes, path: list[str | None]) -> Any:
    value = load_exact(document)
    for key in path:
        if key is None:
            return _MISSING
        if isinstance(value, list):
            value = _step(value, int(key)) if _INDEX.fullmatch(key) else _MISSING
        else:
            value = _step(value, key)
    return value


def path(document: bytes, keys: list[str | None]) -> bytes | None:
    """`document #> keys`."""
    value = _walk(document, keys)
    return None if value is _MISSING else dump_jsonb(value).encode()


def subscript(document: bytes, key: str | int) -> bytes | None:
    """`document[key]`: unlike `->` a scalar has no elements, and a number can be a key."""
    return path(document, [str(key)])


def path_text(document: bytes, keys: list[str | None]) -> str | None:
    """`document #>> keys`."""
    return _as_text(_walk(document, keys))


def has_key(document: bytes, key: str) -> bool:
    """`document ? key`: a key of the object, a string of the array, or the string itself."""
    value = load_exact(document)
    if isinstance(value, dict):
        return key in value
    items = value if isinstance(value, list) else [value]
    return any(
        item == key and not isinstance(item, RawNumber) for item in items if isinstance(item, str)
    )


def elements(document: bytes) -> int:
    """`jsonb_array_length`."""
    value = orjson.loads(document)
    if not isinstance(value, list):
        reject("invalid_parameter_value", "cannot get array length of a value that is no array")
    return len(value)


def kind(document: bytes) -> str:
    """`jsonb_typeof`."""
    first = document.lstrip()[:1].decode()
    names = {
        "{": "object",
        "[": "array",
        '"': "string",
        "t": "boolean",
        "f": "boolean",
        "n": "null",
    }
    return names.get(first, "number")


# --- arrays (of one dimension and lower bound 1, which is what JSON can show)


def element(array: list[Any], at: int) -> Any:
    """`array[at]`, counted from 1; None beyond its ends and for several dimensions."""
    found = array[at - 1] if 1 <= at <= len(array) else None
    return None if isinstance(found, list) else found


def cardinality(array: list[Any]) -> int:
    """How many elements in all dimensions."""
    return sum(cardinality(item) if isinstance(item, list) else 1 for item in array)


def array_length(array: list[Any], dimension: int) -> int | None:
    """The length of one dimension; None if there is no such one, or no element."""
    level: Any = array
    for _ in range(1, dimension):
        level = level[0] if level and isinstance(level[0], list) else None
        if level is None:
            return None
    return fit_int4(len(level)) if dimension >= 1 and level else None


def leaves(array: list[Any]) -> list[Any]:
    """Every element, whatever its dimension."""
    if not any(isinstance(item, list) for item in array):
        return array
    return [leaf for item in array for leaf in (leaves(item) if isinstance(item, list) else [item])]
