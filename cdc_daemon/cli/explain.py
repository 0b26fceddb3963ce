"""`cdc-daemon explain`: what a projection means, and which documents show a row."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from cdc_daemon import log
from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output
from cdc_daemon.config import load
from cdc_daemon.configured import configured
from cdc_daemon.explaining import document_sql, showing
from cdc_daemon.values import SESSION_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.explaining import Explanation

What = Annotated[str, typer.Argument(metavar="WHAT", help="A table, or with --sql the read model.")]
Key = Annotated[
    str | None,
    typer.Argument(metavar="KEY", help="Of a row: its parts joined by |, as in document ids."),
]
Sql = Annotated[
    bool, typer.Option("--sql", help="The statement that yields the documents from the source.")
]
Id = Annotated[str | None, typer.Option("--id", help="Only the document with this id.")]


def explain(
    what: What,
    key: Key = None,
    file: ConfigurationFile = DEFAULT_FILE,
    *,
    sql: Sql = False,
    id: Id = None,  # noqa: A002 - the name of the option
    output: Output = "text",
) -> None:
    """Explain which documents show a row, or with --sql what a read model is; touches nothing.

    The SQL gives (id, document) of every document, as the source is now.
    """
    if sql:
        _explain_sql(what, file if key is None else Path(key), id, output)
    elif key is None:
        raise typer.BadParameter("say what to explain: the key of a row, or --sql")
    else:
        _explain_row(what, key, file, output)


def _explain_row(table: str, key: str, file: Path, output: Output) -> None:
    loaded = load(file, os.environ)
    log.configure(loaded.configuration.log)
    with configured(loaded) as known:
        found = showing(known, table, key)
    if output == "json":
        ways = [one._asdict() | {"wide": one.is_wide} for one in found.ways]
        said = {"table": found.table, "key": key, "position": found.position, "ways": ways}
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n".join(_lines(found, key)))


def _lines(found: Explanation, key: str) -> Iterator[str]:
    yield f"{found.table} {key}, as the state is at {found.position}:"
    for one in found.ways:
        way = "its own row" if not one.way else "by " + ", ".join(one.way)
        more = ", ..." if one.documents > len(one.ids) else ""
        behind = ", in pieces behind other changes" if one.is_wide else ""
        yield f"{one.documents:>10,} of {one.projection}, {way}{behind}: {', '.join(one.ids)}{more}"
    if not found.ways:
        yield "           no document shows it"


def _explain_sql(projection: str, file: Path, only: str | None, output: Output) -> None:
    loaded = load(file, os.environ)
    log.configure(loaded.configuration.log)
    statement = document_sql(loaded, projection, only)
    settings = [f"set {name} = '{value}'" for name, value in SESSION_SETTINGS.items()]
    if output == "json":
        said = {"projection": projection, "settings": settings, "sql": statement}
        typer.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n".join([*(f"{each};" for each in settings), f"{statement};"]))
