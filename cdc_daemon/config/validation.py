"""Checks what a document says against the models, and puts every mistake in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

from cdc_daemon.config.document import BROKEN
from cdc_daemon.config.mistakes import MistakesError
from cdc_daemon.config.names import MistypedKeysError
from cdc_daemon.config.shape import expected_at, is_secret, known_keys, literals
from cdc_daemon.config.wording import expectation, found, unknown_key
from cdc_daemon.nearest import nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from cdc_daemon.config.document import Document
    from cdc_daemon.config.mistakes import Path
    from cdc_daemon.config.models import Configuration

_MAPPING_EXPECTED: Final = frozenset({"model_type", "model_attributes_type", "dict_type"})

_OF_KEYS: Final = frozenset({"missing", "extra_forbidden"})
"""Errors of a key itself, whatever is in its value."""


def validate(document: Document, model: type[Configuration]) -> Configuration:
    """The configuration that `document` says. Raises MistakesError with all of its mistakes."""
    try:
        configuration = model.model_validate(document.data)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            _report(document, model, error)
        raise MistakesError(document.mistakes) from None
    if document.mistakes:
        raise MistakesError(document.mistakes)
    return configuration


def _report(document: Document, model: type[BaseModel], error: ErrorDetails) -> None:
    path, value = _place(document.data, error)
    if error["loc"][-1:] == ("[key]",):
        value = path[-1]
    cause = error.get("ctx", {}).get("error")
    if value is BROKEN or (error["type"] not in _OF_KEYS and _holds_broken(value)):
        return
    if isinstance(cause, MistypedKeysError):
        for key, meant in cause.suggestions.items():
            document.report((*path, key), unknown_key(key, [meant]))
    elif error["type"] == "extra_forbidden":
        known = known_keys(expected_at(model, path[:-1]))
        document.report(path, unknown_key(str(path[-1]), known))
    else:
        document.report(path, _message(document, model, path, error))


def _place(data: Any, error: ErrorDetails) -> tuple[Path, Any]:
    """Where an error is in the file, and what is there: pydantic's path without its own words."""
    path: list[str | int] = []
    for part in error["loc"]:
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif not (error["type"] == "missing" and part == error["loc"][-1]):
            continue
        path.append(part)
    return tuple(path), data


def _holds_broken(value: Any) -> bool:
    """Whether a part of `value` has been reported already."""
    if isinstance(value, dict):
        return any(map(_holds_broken, value.values()))
    if isinstance(value, list):
        return any(map(_holds_broken, value))
    return value is BROKEN


def _message(document: Document, model: type[BaseModel], path: Path, error: ErrorDetails) -> str:
    expected = expectation(error)
    if error["type"] == "missing" or not expected.startswith("expected"):
        return expected
    shown = _shown(document, model, path, error)
    if shown is None:
        return expected
    meant = nearest(str(error["input"]), literals(expected_at(model, path)))
    return f"{expected}; found {shown}" + (f'; did you mean "{meant}"?' if meant else "")


def _shown(
    document: Document, model: type[BaseModel], path: Path, error: ErrorDetails
) -> str | None:
    """What was found, without giving away what is or may be a secret."""
    value = error["input"]
    if is_secret(expected_at(model, path)):
        return None
    if isinstance(value, dict) and error["type"] == "value_error":
        return None
    if path in document.references and error["loc"][-1] != "[key]":
        return f"the value of {document.references[path]}"
    if error["type"] in _MAPPING_EXPECTED and isinstance(value, str):
        return "text"
    return found(value)
