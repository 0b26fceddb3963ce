"""`cdc-daemon schema`: prints the JSON Schema of the configuration."""

from __future__ import annotations

import json

import typer

from cdc_daemon.config.schema import json_schema


def schema() -> None:
    """Print the JSON Schema of the configuration.

    For editors and checkers.
    """
    typer.echo(schema_text(), nl=False)


def schema_text() -> str:
    """The JSON Schema as it is printed and committed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
