"""`cdc-daemon healthcheck`: whether the daemon that runs is well, by exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Url
from cdc_daemon.cli.running import ask
from cdc_daemon.errors import CdcError

if TYPE_CHECKING:
    from pathlib import Path

Ready = Annotated[
    bool,
    typer.Option("--ready", help="Ask whether it streams or loads, not only whether it lives."),
]


def healthcheck(
    file: ConfigurationFile = DEFAULT_FILE, *, ready: Ready = False, url: Url = None
) -> None:
    """Ask whether the daemon that runs is well.

    Exit code 0, or 1 and the reason: for the health checks of containers. Of the configuration
    only web.listen is read.
    """
    reason = _illness(file, url, "/readyz" if ready else "/livez")
    if reason:
        typer.echo(f"error: {reason}", err=True)
        raise typer.Exit(1)


def _illness(file: Path, url: str | None, path: str) -> str:
    """What is wrong in one line; empty if nothing is.

    Always exit code 1, even where the configuration is wrong: Docker keeps 2 for itself.
    """
    try:
        answer = ask(file, url, path)
    except CdcError as error:
        return " ".join(str(error).split())
    if answer.content.get("ok") is True:
        return ""
    return str(answer.content.get("reason") or f"{answer.url}{path}: HTTP {answer.status}")
