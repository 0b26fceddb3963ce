"""`cdc-daemon preview`: a document as it would be made now, beside the one in the index."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import orjson
import typer

from cdc_daemon import log
from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output
from cdc_daemon.config import load
from cdc_daemon.configured import configured
from cdc_daemon.previewing import preview as made

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.previewing import Preview

Projection = Annotated[str, typer.Argument(metavar="PROJECTION", help="The read model.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the document.")]

_WIDTH: Final = 12


def preview(
    projection: Projection,
    id: Id,  # noqa: A002 - the name of the argument
    file: ConfigurationFile = DEFAULT_FILE,
    output: Output = "text",
) -> None:
    """Show a document as it would be made now, and whether the index has it so; touches nothing.

    Exit code 1: the index has another one, and it is not on its way there.
    """
    loaded = load(file, os.environ)
    log.configure(loaded.configuration.log)
    with configured(loaded) as known:
        found = made(known, projection, id)
    if output == "json":
        typer.echo(_as_json(found))
    else:
        typer.echo("\n".join(_lines(found)))
    if found.verdict == "differs":
        raise typer.Exit(1)


def _as_json(found: Preview) -> str:
    whole = asdict(found) | {"verdict": found.verdict}
    for name in ("document", "indexed"):
        body = whole[name]
        whole[name] = None if body is None else orjson.Fragment(body)
    return orjson.dumps(whole).decode()


def _lines(found: Preview) -> Iterator[str]:
    yield f"{'verdict':{_WIDTH}}{found.verdict}"
    where = f"the state, at {found.position}" if found.made_of == "state" else "the source's row"
    yield f"{'made of':{_WIDTH}}{where}"
    if found.rejected:
        yield f"{'rejected':{_WIDTH}}{found.rejected}"
    yield f"{'document':{_WIDTH}}{_text(found.document)}"
    if found.differing or found.document is None:
        yield f"{'indexed':{_WIDTH}}{_text(found.indexed)}"
    if found.version:
        yield f"{'version':{_WIDTH}}{found.version}"
    for path in found.differing:
        yield f"{'differs at':{_WIDTH}}{path}"


def _text(document: bytes | None) -> str:
    return "none" if document is None else document.decode()
