"""Says in plain words what pydantic found wrong."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from cdc_daemon.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

_MAXIMUM_SHOWN: Final = 80
_CREDENTIALS: Final = re.compile(r"://.*@")

_EXPECTATIONS: Final[dict[str, str]] = {
    "missing": "this key is required",
    "string_type": "expected text",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "path_type": "expected a path",
    "dict_type": "expected keys with values",
    "mapping_type": "expected keys with values",
    "model_type": "expected keys with values",
    "model_attributes_type": "expected keys with values",
    "list_type": "expected a list",
    "greater_than": "expected a number above {gt}",
    "greater_than_equal": "expected a number from {ge} on",
    "less_than": "expected a number below {lt}",
    "less_than_equal": "expected a number up to {le}",
    "string_pattern_mismatch": "expected text that matches {pattern}",
    "string_too_long": "expected at most {max_length} characters",
}


def unknown_key(key: str, known: Sequence[str]) -> str:
    """What to say about a key that isn't known here."""
    if suggestion := nearest(key, known):
        return f'unknown key; did you mean "{suggestion}"?'
    return f"unknown key; expected one of {', '.join(known)}" if known else "unknown key"


def found(value: object) -> str:
    """What was found, in few words; never a password in an address."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "keys with values" if value else "no keys"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    shown = _CREDENTIALS.sub("://***@", shown)
    return shown if len(shown) <= _MAXIMUM_SHOWN else shown[: _MAXIMUM_SHOWN - 3] + "..."


def expectation(error: ErrorDetails) -> str:
    """What was expected where pydantic found `error`."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return "expected " + str(context["expected"]).replace("'", '"')
    if kind in {"too_short", "string_too_short"}:
        return _at_least(context.get("min_length", 1), entries=kind == "too_short")
    if kind in _EXPECTATIONS:
        return _EXPECTATIONS[kind].format(**context)
    return error["msg"].replace("Input should be", "expected")


def _at_least(count: int, *, entries: bool) -> str:
    unit = ("entry" if entries else "character") if count == 1 else ""
    units = "entries" if entries else "characters"
    return f"expected at least one {unit}" if unit else f"expected at least {count} {units}"
