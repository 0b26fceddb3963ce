"""`cdc-daemon validate`: checks a configuration file without connecting to anything."""

from __future__ import annotations

import os
from dataclasses import asdict

import orjson
import typer

from cdc_daemon.cli.options import (
    DEFAULT_FILE,
    ConfigurationFile,
    Output,
)
from cdc_daemon.config import Mistake, MistakesError, load


def validate(file: ConfigurationFile = DEFAULT_FILE, output: Output = "text") -> None:
    """Check a configuration file; connects to nothing.

    Exit code 2: it has mistakes.
    """
    mistakes = _mistakes(file)
    if output == "json":
        result = {"ok": not mistakes, "mistakes": [asdict(each) for each in mistakes]}
        typer.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    elif mistakes:
        typer.echo("\n".join(map(str, mistakes)), err=True)
    else:
        typer.echo("ok")
    if mistakes:
        raise typer.Exit(MistakesError.exit_code)


def _mistakes(file: ConfigurationFile) -> tuple[Mistake, ...]:
    try:
        load(file, os.environ)
    except MistakesError as error:
        return error.mistakes
    return ()
