"""`cdc-daemon deadletters`: what could not be written, why, and what a person can do."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output
from cdc_daemon.errors import CdcError, RetryError, SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cdc_daemon.events import DeadLetter
    from cdc_daemon.ports import Sink, Source

MOST: Final = 10_000
"""OpenSearch answers no more in one search."""
COLUMNS: Final = ("key", "time", "projection", "id", "position", "reason")

_AGAIN: Final = "Any later change of the row writes its document anew"
_ADVICE: Final = {
    "document_too_large": "make the row smaller, leave columns out of `fields`, or raise "
    "`max_document_bytes` of the projection",
    "expression_failed": "correct the row, or an expression of the projection so that it can't "
    "fail on it",
    "null_id": "give the row a value in every column of the document id, or choose other columns "
    "in `id`",
    "not_utf8": "correct the text in the source: it is not UTF-8",
    "type_changed": "restart the daemon: a type has changed in the source since it started",
}
_DEFAULT_ADVICE: Final = (
    "if the row is wrong, correct it in the source; if the index mapping is, change the field's "
    "`type` in the configuration and restart the daemon, which builds the index anew"
)

deadletters = typer.Typer(
    help="Show what could not be written (dead letters), with its reason.",
    no_args_is_help=True,
    add_completion=False,
)
Limit = Annotated[int, typer.Option("--limit", min=1, max=MOST, help="How many at most.")]
Key = Annotated[str, typer.Argument(help="The key, as `list` shows it.")]


class NotFoundError(CdcError):
    """There is no dead letter of that key."""


@deadletters.command("list")
def list_(
    file: ConfigurationFile = DEFAULT_FILE, limit: Limit = 50, output: Output = "text"
) -> None:
    """List the newest dead letters of the pipeline, newest first."""
    with _opened(file) as (pipeline, source, sink):
        store = sink.dead_letters
        found = store.list(pipeline, limit=limit)
        more = store.count(pipeline) - len(found) if len(found) == limit else 0
        rows = [_row(key, letter, source) for key, letter in found]
    if output == "json":
        _print_json(rows)
    elif rows:
        _print_table(rows)
    if not rows:
        typer.echo("no dead letters", err=True)
    elif more > 0:
        typer.echo(f"{more} older ones are not shown: --limit", err=True)


@deadletters.command("show")
def show(key: Key, file: ConfigurationFile = DEFAULT_FILE, output: Output = "text") -> None:
    """Show one dead letter in full: row, document, explanation, what to do.

    Exit code 1: there is none of that key.
    """
    with _opened(file) as (pipeline, source, sink):
        letter = sink.dead_letters.get(key)
        if letter is None or letter.pipeline != pipeline:
            raise NotFoundError(
                f"pipeline {pipeline} has no dead letter {_printable(key)}; see "
                "`cdc-daemon deadletters list`"
            )
        whole = _row(key, letter, source) | _details(letter)
    if output == "json":
        _print_json(whole)
    else:
        typer.echo("\n".join(_text(whole)))


@contextmanager
def _opened(file: Path) -> Iterator[tuple[str, Source, Sink]]:
    """The pipeline's name, its source (which knows how to show positions) and its sink."""
    from cdc_daemon import log, registry  # noqa: PLC0415 - the help needs neither, nor pydantic
    from cdc_daemon.config import load  # noqa: PLC0415 - as above
    from cdc_daemon.sinks import open_sink  # noqa: PLC0415 - as above

    config = load(file, os.environ).configuration
    log.configure(config.log)
    with ExitStack() as stack:
        source = registry.source_factory(_type(config.source))(config.source, pipeline=config.name)
        stack.callback(source.close)
        sink = open_sink(config)
        stack.callback(sink.close)
        try:
            yield config.name, source, sink
        except RetryError as error:
            raise SinkError(str(error)) from error


def _type(section: Any) -> str:
    return str(section.type)


def _row(key: str, letter: DeadLetter, source: Source) -> dict[str, Any]:
    moment = datetime.fromtimestamp(letter.time, UTC)
    return {
        "key": key,
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "pipeline": letter.pipeline,
        "projection": letter.projection,
        "id": letter.id,
        "position": source.show(letter.position),
        "version": letter.position,
        "reason": letter.reason,
        "table": letter.table,
    }


def _details(letter: DeadLetter) -> dict[str, Any]:
    row = letter.row
    return {
        "explanation": letter.explanation,
        "advice": _advice(letter.reason),
        "row": None if row is None else {name: _parsed(value) for name, value in row.items()},
        "document": None if letter.document is None else _parsed(letter.document),
    }


def _advice(reason: str) -> str:
    known = _ADVICE.get(reason, _DEFAULT_ADVICE)
    return f"{known[0].upper()}{known[1:]}. {_AGAIN}."


def _parsed(text: bytes) -> Any:
    """The JSON value with every digit of its numbers; the text itself where it was cut."""
    try:
        value = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
        orjson.dumps([[value]])  # as deep as it will be printed: some values are nested too deeply
    except (ValueError, TypeError, RecursionError):
        return text.decode(errors="replace")
    return value


def _print_json(value: Any) -> None:
    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    """A table on a terminal; elsewhere a line each, tabs between the columns."""
    from rich.console import Console  # noqa: PLC0415 - 50 ms, for terminals only

    cells = [[_printable(str(row[column])) for column in COLUMNS] for row in rows]
    console = Console()
    if not console.is_terminal:
        typer.echo("\n".join("\t".join(line) for line in [list(COLUMNS), *cells]))
        return
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        # A key on two lines can't be copied.
        table.add_column(column, no_wrap=column in {"key", "time"}, overflow="fold")
    for line in cells:
        table.add_row(*map(Text, line))
    console.print(table)


def _text(whole: dict[str, Any]) -> Iterator[str]:
    for name in ("key", "time", "pipeline", "projection", "id", "position", "table", "reason"):
        yield f"{name:12}{_printable(str(whole[name]))}"
    yield ""
    yield _printable(whole["explanation"])
    yield ""
    yield f"What to do: {whole['advice']}"
    for name in ("row", "document"):
        yield ""
        yield f"{name}:"
        value = whole[name]
        shown = "(not kept)" if value is None else _pretty(value)
        yield "\n".join(_printable(line) for line in shown.split("\n"))


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _printable(text: str) -> str:
    """Data from rows must not steer the terminal: control characters are shown as escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
