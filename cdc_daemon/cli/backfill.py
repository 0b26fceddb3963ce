"""`cdc-daemon backfill`: how far existing rows are read, and reading them again on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output, Url
from cdc_daemon.cli.progress import Loads, follow, show
from cdc_daemon.cli.running import NotRunningError, RefusedError, ask, change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATH: Final = "/api/v1/backfill"
_OK: Final = 200

backfill = typer.Typer(
    help="Show how far existing rows are read; read them again, pause, resume, cancel.",
    no_args_is_help=True,
    add_completion=False,
)
Projection = Annotated[
    str | None, typer.Option("--projection", help="The read model whose rows are meant.")
]
Table = Annotated[
    str | None,
    typer.Option("--table", metavar="SCHEMA.TABLE", help="The table, for all its read models."),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="Only rows that meet this condition, in SQL over the table's columns.",
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Show how far it is until it is done.")]


@backfill.command("start")
def start(  # noqa: PLR0913 - options of a command
    file: ConfigurationFile = DEFAULT_FILE,
    *,
    projection: Projection = None,
    table: Table = None,
    where: Where = None,
    wait: Wait = False,
    output: Output = "text",
    url: Url = None,
) -> None:
    """Read the rows of a table again, and put right what is searched.

    Exit code 1: no daemon runs, it refused, or (with --wait) it failed or was cancelled.
    """
    wish = _wish(projection, table)
    if not wish:
        raise typer.BadParameter("name what is to be read again: --projection or --table")
    before = _state(file, url)
    asked = wish if where is None else {**wish, "where": where}
    state = change(file, url, f"{PATH}/start", asked).content
    if wait:
        state = follow(state, _asking(file, url), lambda load: _is_meant(load, wish))
    _print(state, output)
    if wait:
        _require_repaired(before, state, wish)


@backfill.command("status")
def status(
    file: ConfigurationFile = DEFAULT_FILE,
    *,
    wait: Wait = False,
    output: Output = "text",
    url: Url = None,
) -> None:
    """Show how far the loads are that are under way.

    Exit code 1: no daemon runs.
    """
    state = _state(file, url)
    if wait:
        state = follow(state, _asking(file, url), lambda _: True)
    _print(state, output)


@backfill.command("pause")
def pause(
    file: ConfigurationFile = DEFAULT_FILE, *, output: Output = "text", url: Url = None
) -> None:
    """Read nothing for now, until `resume` or a restart of the daemon."""
    _print(change(file, url, f"{PATH}/pause", {}).content, output)


@backfill.command("resume")
def resume(
    file: ConfigurationFile = DEFAULT_FILE, *, output: Output = "text", url: Url = None
) -> None:
    """Go on reading."""
    _print(change(file, url, f"{PATH}/resume", {}).content, output)


@backfill.command("cancel")
def cancel(
    file: ConfigurationFile = DEFAULT_FILE,
    *,
    projection: Projection = None,
    table: Table = None,
    output: Output = "text",
    url: Url = None,
) -> None:
    """Give up what `start` began; what is searched stays as it is by then."""
    wish = _wish(projection, table)
    _print(change(file, url, f"{PATH}/cancel", wish).content, output)


def _wish(projection: str | None, table: str | None) -> dict[str, Any]:
    if projection is not None and table is not None:
        raise typer.BadParameter("name --projection or --table, not both")
    wish = {"projection": projection, "table": table}
    return {kind: name for kind, name in wish.items() if name is not None}


def _is_meant(load: dict[str, Any], wish: dict[str, Any]) -> bool:
    return load["table"] == wish.get("table") or wish.get("projection") in load["projections"]


def _state(file: Path, url: str | None) -> Loads:
    answer = ask(file, url, PATH)
    if answer.status == _OK and "loads" in answer.content:
        return answer.content
    raise NotRunningError(
        str(
            answer.content.get("error")
            or f"what answers at {answer.url} is not a cdc-daemon (HTTP {answer.status}): give its "
            "address: --url http://HOST:PORT, or CDC_DAEMON_URL"
        )
    )


def _asking(file: Path, url: str | None) -> Callable[[], Loads | None]:
    """Ask again and again; None while a daemon that is restarted doesn't answer."""

    def asking() -> Loads | None:
        try:
            return _state(file, url)
        except NotRunningError:
            return None

    return asking


def _require_repaired(before: Loads, state: Loads, wish: dict[str, Any]) -> None:
    for one in state["ended"]:
        if one in before["ended"] or not _is_meant(one, wish):
            continue
        if one["outcome"] == "failed":
            raise RefusedError(f"{one['table']} can't be read: {one['reason']}")
        if one["outcome"] == "cancelled":
            raise RefusedError(f"somebody cancelled reading {one['table']}: `start` begins anew")


def _print(state: Loads, output: str) -> None:
    if output == "json":
        typer.echo(orjson.dumps(state, option=orjson.OPT_INDENT_2).decode())
    else:
        show(state)
