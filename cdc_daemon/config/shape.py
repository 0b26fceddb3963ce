"""Looks into pydantic models: which keys are known at a place, and what is expected there."""

from __future__ import annotations

import types
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

if TYPE_CHECKING:
    from cdc_daemon.config.mistakes import Path as ConfigurationPath


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types that an annotation allows, without `Annotated` and `Optional`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return tuple(each for option in get_args(annotation) for each in alternatives(option))
    return () if annotation is types.NoneType else (annotation,)


def is_model(annotation: Any) -> bool:
    """Whether it is a pydantic model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def keys(model: type[BaseModel]) -> dict[str, Any]:
    """The keys of a model as the YAML spells them, with their annotations."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def below(annotation: Any, part: str | int) -> Any:
    """What is expected under the key or at the place `part`; None where nothing is known."""
    for option in alternatives(annotation):
        if is_model(option) and part in keys(option):
            return keys(option)[str(part)]
        arguments = get_args(option)
        if get_origin(option) is dict and isinstance(part, str):
            return arguments[1]
        if get_origin(option) is list and isinstance(part, int):
            return arguments[0]
    return None


def expected_at(annotation: Any, path: ConfigurationPath) -> Any:
    """What is expected at `path` under `annotation`; None where nothing is known."""
    for part in path:
        annotation = below(annotation, part)
    return annotation


def known_keys(annotation: Any) -> list[str]:
    """The keys that may be written here; empty where any may, or none."""
    models = [option for option in alternatives(annotation) if is_model(option)]
    return [key for model in models for key in keys(model)]


def literals(annotation: Any) -> list[str]:
    """The words of which one must be written here; empty where others may be, too."""
    options = alternatives(annotation)
    if not options or any(get_origin(option) is not Literal for option in options):
        return []
    return [str(value) for option in options for value in get_args(option)]


def is_text(annotation: Any) -> bool:
    """Whether only text is allowed here, so that `007` filled in by a variable stays `007`."""
    options = alternatives(annotation)
    return bool(options) and all(_is_text(option) for option in options)


def _is_text(option: Any) -> bool:
    if get_origin(option) is Literal:
        return all(isinstance(value, str) for value in get_args(option))
    return isinstance(option, type) and issubclass(option, str | SecretStr | Path | Enum)


def is_secret(annotation: Any) -> bool:
    """Whether a secret is kept here, which is never to be shown."""
    return any(
        isinstance(option, type) and issubclass(option, SecretStr)
        for option in alternatives(annotation)
    )
