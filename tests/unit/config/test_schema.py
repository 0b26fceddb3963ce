"""The JSON Schema: it is the committed one, describes every key, and agrees with the loader."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from cdc_daemon.cli.schema import schema_text
from cdc_daemon.config.schema import json_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.config import LoadedConfiguration

    Load = Callable[..., LoadedConfiguration]
    Mistakes = Callable[..., list[str]]


REPOSITORY = Path(__file__).resolve().parents[3]
COMMITTED = REPOSITORY / "cdc-daemon.schema.json"
DEFINITIONS = json_schema()


def yaml(text: str) -> Any:
    """The plain values of a YAML text."""
    return YAML(typ="safe", pure=True).load(text)


def properties(
    schema: dict[str, Any], path: str = "", met: set[str] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of the configuration with its schema, as `a.b`, `projections.NAME.from`.

    What may be written at several places, or within itself, is listed where it is first met.
    """
    met = set() if met is None else met
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in met:
            return
        met.add(name)
        schema = DEFINITIONS["$defs"][name] | schema
    for key, inner in schema.get("properties", {}).items():
        yield f"{path}{key}", inner
        yield from properties(inner, f"{path}{key}.", met)
    if isinstance(schema.get("additionalProperties"), dict):
        name = "FIELD" if path.endswith("fields.") else "NAME"
        if "JsonValue" not in str(schema["additionalProperties"]):
            yield from properties(schema["additionalProperties"], f"{path}{name}.", met)
    if isinstance(schema.get("items"), dict):
        yield from properties(schema["items"], f"{path.removesuffix('.')}[].", met)
    for choice in schema.get("oneOf", []) + schema.get("anyOf", []):
        yield from properties(choice, path, met)


def test_the_committed_schema_is_current() -> None:
    """`cdc-daemon schema > cdc-daemon.schema.json` changes nothing."""
    assert COMMITTED.read_text() == schema_text()


def test_the_schema_is_valid() -> None:
    """The schema keeps to its own draft."""
    Draft202012Validator.check_schema(json_schema())


def test_every_key_has_a_description() -> None:
    """Editors can explain every key."""
    definitions = json_schema()["$defs"]
    found = dict(properties(json_schema()))
    assert {"name", "projections.NAME.fields.FIELD.column", "sink.aws.region"} <= found.keys()
    for key, schema in found.items():
        definition = definitions.get(schema.get("$ref", "").rpartition("/")[2], {})
        assert schema.get("description") or definition.get("description"), key


def test_every_key_is_on_the_reference_page() -> None:
    """The reference page has a row for every key, and no row for a key that isn't there."""
    page = (REPOSITORY / "docs/reference/configuration.md").read_text()
    rows = re.findall(r"^\| `([A-Za-z_.\[\]]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(key for key, _ in properties(json_schema()))


def test_every_default_is_on_the_reference_page() -> None:
    """The defaults of the reference page are those of the schema."""
    page = (REPOSITORY / "docs/reference/configuration.md").read_text()
    for key, schema in properties(json_schema()):
        if "default" in schema and key != "state.path":
            default = schema["default"]
            shown = default if isinstance(default, str) else json.dumps(default)
            assert f"| `{key}` | `{shown}` |" in page


def test_the_example_validates(example: str) -> None:
    """The example of the reference page passes the schema as it is, references included."""
    Draft202012Validator(json_schema()).validate(yaml(example))


def test_check_jsonschema_takes_the_example(example: str, tmp_path: Path) -> None:
    """The checker that people have in their pre-commit hooks takes the committed schema."""
    file = tmp_path / "cdc-daemon.yaml"
    file.write_text(example)
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(COMMITTED), str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "appended",
    [
        "senders: ${N:-3}\n",
        "memory: {batch: '${SIZE:-1MB}', queue: 64MiB}\n",
        "log:\n  level: ${LEVEL:-debug}\n",
        "shutdown: {deadline: 1.5}\n",
    ],
)
def test_schema_and_loader_accept_the_same(load_text: Load, minimal: str, appended: str) -> None:
    """References and quantities pass both."""
    load_text(minimal + appended)
    Draft202012Validator(json_schema()).validate(yaml(minimal + appended))


@pytest.mark.parametrize(
    ("part", "replacement"),
    [
        ("name: shop", "name: Shop"),
        ("  hotels:", "  hotels-1:"),
        ("  hotels:", "  Hotels:"),
        ('"*"', "x"),
        ('"*"', "{}"),
        ('"*"', "{_id: }"),
        ('"*"', '"*"\n    freshness: soon'),
        ('"*"', '"*"\n    embed: {}'),
        ("from:", "table:"),
        ("type: postgres", "type: kafka"),
        ("type: postgres", "type: opensearch"),
        ("name: shop", "name: shop\nsenders: 9"),
        ("name: shop", "name: shop\nmemory: {batch: 5 mb}"),
    ],
)
def test_schema_and_loader_refuse_the_same(
    mistakes: Mistakes, minimal: str, part: str, replacement: str
) -> None:
    """What the loader refuses is underlined in the editor, too."""
    text = minimal.replace(part, replacement, 1)
    assert mistakes(text)
    assert not Draft202012Validator(json_schema()).is_valid(yaml(text))
