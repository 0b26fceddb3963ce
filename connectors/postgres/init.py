"""`cdc-daemon init`: writes a commented configuration from a live database."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from cdc_daemon.errors import ConfigurationError, RetryError, SourceError
from connectors.postgres.outline import outline
from connectors.postgres.session import connect

DSN_VARIABLE = "DATABASE_URL"
PIPELINE_NAME = "[a-z][a-z0-9_-]{0,39}"


def init(
    *,
    dsn: Annotated[
        str,
        typer.Option(
            "--dsn",
            envvar=DSN_VARIABLE,
            metavar="DSN",
            help="The database: postgresql://user:password@host:5432/database.",
        ),
    ],
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="SCHEMA.TABLE",
            help="A table to map; may be given several times. Default: all that can be followed.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write; - is standard output.")
    ] = Path("cdc-daemon.yaml"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it is there.")
    ] = False,
    name: Annotated[
        str, typer.Option("--name", help="The pipeline. Default: the name of the database.")
    ] = "",
) -> None:
    """Write a commented configuration from a live PostgreSQL database.

    It maps every table that can be followed, with all columns and their types, and says of the
    others why they are left out. Nothing in the database is changed, and no password is written:
    the file reads the connection string from DATABASE_URL.
    """
    if name and not re.fullmatch(PIPELINE_NAME, name):
        raise ConfigurationError(
            "expected a name of at most 40 of a-z, 0-9, _ and -, that begins with a letter: "
            f"--name {name}"
        )
    to_stdout = str(output) == "-"
    if not to_stdout and output.exists() and not force:
        raise ConfigurationError(f"{output} is there already. Replace it by --force")
    text = _outline(dsn, tables or [], name)
    if to_stdout:
        typer.echo(text, nl=False)
        return
    _write(output, text, force=force)
    typer.echo(
        f"{output} is written. It reads the connection string from {DSN_VARIABLE}:", err=True
    )
    if os.environ.get(DSN_VARIABLE) != dsn:
        typer.echo(f"  export {DSN_VARIABLE}=...   # what you gave as --dsn", err=True)
    typer.echo(f"  cdc-daemon check {output}\n  cdc-daemon run {output}", err=True)


def _outline(dsn: str, tables: list[str], name: str) -> str:
    try:
        with connect(dsn, name="cdc-daemon:init", setting="--dsn") as connection:
            return outline(connection, tables, name)
    except RetryError as error:
        raise SourceError(f"{error}. Check that it runs, and the address in --dsn") from error


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"{output} can't be written: {error.strerror}") from error
