"""The JSON Schema of the configuration, for editors: from the models that validate it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from cdc_daemon import registry
from cdc_daemon.config.models import Configuration
from cdc_daemon.quantities import DURATION_PATTERN, SIZE_PATTERN, duration_text, size_text

if TYPE_CHECKING:
    from pydantic import BaseModel

REFERENCE_PATTERN: Final = r"\$\{.*\}"
"""Anything may be filled in by a reference, which is text to an editor."""

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_PLACE_OF_TEXT: Final = ("description", "default", "deprecated")


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) with the connectors that are installed."""
    connectors: dict[str, list[type[BaseModel]]] = {
        "source": [registry.source_factory(name).config_model for name in registry.sources()],
        "sink": [registry.sink_factory(name).config_model for name in registry.sinks()],
    }
    models: list[type[BaseModel]] = [Configuration, *connectors["source"], *connectors["sink"]]
    names, generated = models_json_schema([(model, "validation") for model in models])
    definitions = generated["$defs"]
    whole = definitions.pop(names[Configuration, "validation"]["$ref"].rpartition("/")[2])
    for section, choices in connectors.items():
        references = [names[model, "validation"] for model in choices]
        whole["properties"][section] |= {"oneOf": references}
        whole["properties"][section].pop("$ref", None)
        whole["properties"][section].pop("anyOf", None)
    ((_, named),) = whole["properties"]["sinks"]["patternProperties"].items()
    named |= {"oneOf": whole["properties"]["sink"]["oneOf"]}
    named.pop("$ref", None)
    whole["oneOf"] = [{"required": ["sink"]}, {"required": ["sinks"]}]
    definitions.pop("BaseModel", None)
    return {
        "$schema": _DRAFT,
        "title": "cdc-daemon configuration",
        **_for_editors(whole),
        "$defs": {name: _for_editors(each) for name, each in sorted(definitions.items())},
    }


def _for_editors(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object without noise, and with references allowed for all its scalars."""
    plain = {key: value for key, value in schema.items() if key not in {"title", "properties"}}
    properties = {key: _property(each) for key, each in schema.get("properties", {}).items()}
    return plain | ({"properties": properties} if properties else {})


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    text = {key: schema[key] for key in _PLACE_OF_TEXT if schema.get(key) is not None}
    if "$ref" in schema:
        text.pop("default", None)  # the keys of the section have their own
    if "default" in text:
        text["default"] = _as_written(schema, text["default"])
    rest = {key: value for key, value in schema.items() if key not in {"title", *_PLACE_OF_TEXT}}
    return text | _with_references(rest)


def _as_written(schema: dict[str, Any], default: Any) -> Any:
    """A default the way people write it: `10s`, `64MB`."""
    patterns = {each.get("pattern") for each in schema.get("anyOf", [])}
    if DURATION_PATTERN in patterns:
        return duration_text(default)
    return size_text(default) if SIZE_PATTERN in patterns else default


def _with_references(schema: dict[str, Any]) -> dict[str, Any]:
    schema = _with_named_properties(schema)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            schema[inner] = _with_references(schema[inner])
    if "oneOf" in schema:
        schema["oneOf"] = [_with_named_properties(each) for each in schema["oneOf"]]
    if _takes_any_text(schema) or not _is_scalar(schema):
        return schema
    return {"anyOf": [*_choices(schema), {"type": "string", "pattern": REFERENCE_PATTERN}]}


def _with_named_properties(schema: dict[str, Any]) -> dict[str, Any]:
    """Without this, names that don't match the pattern of a mapping's keys would pass."""
    if "patternProperties" not in schema:
        return schema
    rest = {key: value for key, value in schema.items() if key != "patternProperties"}
    ((pattern, values),) = schema["patternProperties"].items()
    return rest | {"propertyNames": {"pattern": pattern}, "additionalProperties": values}


def _choices(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return schema["anyOf"] if set(schema) == {"anyOf"} else [schema]


def _is_scalar(schema: dict[str, Any]) -> bool:
    """Whether it is limited to certain scalars; the `type` of a connector, a constant, is not."""
    if "anyOf" in schema:
        return any(map(_is_scalar, schema["anyOf"]))
    limited = "pattern" in schema or "enum" in schema
    return limited or not _types(schema).isdisjoint({"integer", "number", "boolean"})


def _takes_any_text(schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return any(map(_takes_any_text, schema["anyOf"]))
    return "string" in _types(schema) and schema.keys().isdisjoint({"pattern", "enum", "const"})


def _types(schema: dict[str, Any]) -> set[str]:
    types = schema.get("type", [])
    return {types} if isinstance(types, str) else set(types)
