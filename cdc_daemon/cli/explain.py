"""`cdc-daemon explain`: what a projection means, as SQL over the source."""

from __future__ import annotations

import os
from typing import Annotated

import orjson
import typer

from cdc_daemon import log
from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output
from cdc_daemon.config import load
from cdc_daemon.explaining import document_sql
from cdc_daemon.values import SESSION_SETTINGS

Projection = Annotated[str, typer.Argument(metavar="PROJECTION", help="The read model.")]
Sql = Annotated[
    bool, typer.Option("--sql", help="The statement that yields the documents from the source.")
]
Id = Annotated[str | None, typer.Option("--id", help="Only the document with this id.")]


def explain(
    projection: Projection,
    file: ConfigurationFile = DEFAULT_FILE,
    *,
    sql: Sql = False,
    id: Id = None,  # noqa: A002 - the name of the option
    output: Output = "text",
) -> None:
    """Explain what a read model is made of; touches nothing.

    The SQL gives (id, document) of every document, as the source is now.
    """
    if not sql:
        raise typer.BadParameter("say what to explain: --sql")
    loaded = load(file, os.environ)
    log.configure(loaded.configuration.log)
    statement = document_sql(loaded, projection, id)
    settings = [f"set {name} = '{value}'" for name, value in SESSION_SETTINGS.items()]
    if output == "json":
        said = {"projection": projection, "settings": settings, "sql": statement}
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n".join([*(f"{each};" for each in settings), f"{statement};"]))
