"""`cdc-daemon state`: what is kept for joined read models; compacting it, giving it up."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output
from cdc_daemon.errors import CdcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdc_daemon.events import Position
    from cdc_daemon.state.offline import Inspection

state = typer.Typer(
    help="Show, compact and give up the state of joined read models.",
    no_args_is_help=True,
    add_completion=False,
)
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]

_WIDTH: Final = 14


class NotConfirmedError(CdcError):
    """Nobody said yes."""


@state.command("inspect")
def inspect(file: ConfigurationFile = DEFAULT_FILE, output: Output = "text") -> None:
    """Show what is kept: position, tables, indexes, pending documents, sizes.

    It reads beside a daemon that runs. Exit code 6: there is no state.
    """
    from cdc_daemon.state import offline  # noqa: PLC0415 - the help needs no LMDB

    folder, show = _state_of(file)
    found = offline.inspect(folder)
    if output == "json":
        whole = asdict(found) | {"folder": str(folder), "position": show(found.position)}
        whole["pending"] = dict(found.pending)
        whole["fan_outs"] = dict(found.fan_outs)
        typer.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo("\n".join(_lines(found, show)))


@state.command("compact")
def compact(file: ConfigurationFile = DEFAULT_FILE, output: Output = "text") -> None:
    """Make the file as small as what it holds; no daemon may have it open.

    Exit code 6: a process has it open, there is no room for the copy, or it can't be trusted.
    """
    from cdc_daemon.state import offline  # noqa: PLC0415 - as above

    before, after = offline.compact(_state_of(file)[0])
    if output == "json":
        typer.echo(orjson.dumps({"before_bytes": before, "after_bytes": after}).decode())
    else:
        typer.echo(f"compacted from {before:,} to {after:,} bytes")


@state.command("rebuild")
def rebuild(file: ConfigurationFile = DEFAULT_FILE, *, yes: Yes = False) -> None:
    """Give the state up: the next start loads its tables anew from the source.

    Exit code 1: nobody confirmed. 6: a process has it open, or there is none.
    """
    from cdc_daemon.state import offline  # noqa: PLC0415 - as above

    folder, _ = _state_of(file)
    if not yes and not typer.confirm(
        f"The next start reads all rows of the tables in {folder} again, into new indices; those "
        "that are searched go on being searched until then. Go on?",
        err=True,
    ):
        raise NotConfirmedError("nothing was done")
    offline.rebuild(folder)
    typer.echo(f"the next start loads {folder} anew")


def _state_of(file: Path) -> tuple[Path, Callable[[Position], str]]:
    """Where the state is, and how its source shows a position."""
    from cdc_daemon import registry  # noqa: PLC0415 - pydantic and a driver: the help needs neither
    from cdc_daemon.config import load  # noqa: PLC0415 - as above
    from cdc_daemon.state import folder_of  # noqa: PLC0415 - as above

    config = load(file, os.environ).configuration
    section: Any = config.source
    source = registry.source_factory(section.type)(section, pipeline=config.name)
    source.close()
    return folder_of(config.state.path, config.name), source.show


def _lines(found: Inspection, show: Callable[[Position], str]) -> Iterator[str]:
    yield f"{'folder':{_WIDTH}}{found.folder}"
    yield f"{'pipeline':{_WIDTH}}{found.pipeline}"
    yield f"{'state':{_WIDTH}}{found.state_id}"
    yield f"{'source':{_WIDTH}}{found.source_id}"
    yield f"{'used by':{_WIDTH}}{'nobody' if found.used_by is None else f'pid {found.used_by}'}"
    if found.lost:
        yield f"{'lost':{_WIDTH}}{found.lost}; the next start loads it anew"
        return
    yield f"{'position':{_WIDTH}}{show(found.position)}"
    yield f"{'file':{_WIDTH}}{found.file_bytes:,} bytes, map {found.map_bytes:,} bytes"
    yield f"{'counters':{_WIDTH}}{found.counters:,}"
    yield f"{'holes':{_WIDTH}}{found.holes:,}"
    for name, count in found.pending:
        yield f"{'pending':{_WIDTH}}{count:,} documents of {name}"
    for name, count in found.fan_outs:
        yield f"{'fan-outs':{_WIDTH}}{count:,} of {name}"
    for part in found.dropped:
        yield f"{'to be dropped':{_WIDTH}}{part}"
    yield ""
    yield f"{'entries':>14}{'bytes':>18}  table or index"
    for tree in found.trees:
        name = f"{tree.table} ({tree.index})" if tree.index else tree.table
        missing = "" if tree.complete else (", being built" if tree.index else ", not loaded")
        yield f"{tree.entries:>14,}{tree.size_bytes:>18,}  {name}{missing}"
