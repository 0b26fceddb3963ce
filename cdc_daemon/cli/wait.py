"""`cdc-daemon wait`: until searches show a commit, for scripts and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode

import orjson
import typer

from cdc_daemon.cli.options import DEFAULT_FILE, ConfigurationFile, Output, Url, at_least
from cdc_daemon.cli.running import TIMEOUT_SECONDS, RefusedError, ask
from cdc_daemon.outside.wording import milliseconds

if TYPE_CHECKING:
    from cdc_daemon.cli.running import Answer

LONGEST_SECONDS: Final = 60.0
"""What a daemon takes at most, unless `consistency.max_timeout` allows more."""
A_DAY: Final = 86_400.0
"""Whatever is asked for, no daemon takes that long to say so."""

Token = Annotated[
    list[str] | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="What to wait for; several are waited for all. select pg_current_wal_insert_lsn() "
        "after COMMIT.",
    ),
]
Projection = Annotated[
    str | None, typer.Option("--projection", help="This read model only. Default: all.")
]
DocumentId = Annotated[
    str | None, typer.Option("--id", help="This document of the projection only.")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=at_least(0),
        metavar="DURATION",
        help="How long at most: 2s, 500ms. Default: the policy's, or 10s.",
    ),
]
Policy = Annotated[
    str | None, typer.Option("--policy", help="Wait as this policy of the configuration says.")
]


def wait(  # noqa: PLR0913 - one each for what the daemon can be asked
    file: ConfigurationFile = DEFAULT_FILE,
    *,
    token: Token = None,
    projection: Projection = None,
    document_id: DocumentId = None,
    timeout: Timeout = None,
    policy: Policy = None,
    output: Output = "text",
    url: Url = None,
) -> None:
    """Wait until searches show what was committed.

    Exit code 1: they don't yet, or the daemon has refused the question.
    """
    named = {
        "projection": projection,
        "id": document_id,
        "timeout": None if timeout is None else f"{timeout:.3f}",
        "policy": policy,
    }
    query = [*(("token", each) for each in token or ())]
    query += [(name, value) for name, value in named.items() if value is not None]
    patience = min(timeout or LONGEST_SECONDS, A_DAY) + TIMEOUT_SECONDS
    answer = ask(file, url, f"/api/v1/wait?{urlencode(query)}", patience)
    if "reached" not in answer.content:
        raise RefusedError(_refusal(answer))
    _show(answer.content, output)
    if not answer.content["reached"]:
        raise typer.Exit(RefusedError.exit_code)


def _show(told: dict[str, Any], output: str) -> None:
    if output == "json":
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    elif told["reached"]:
        typer.echo(f"searches show it, after {milliseconds(told['waited_seconds'])}")
    else:
        waited = milliseconds(told["waited_seconds"])
        typer.echo(f"error: after {waited} searches don't show it: {told['why']}", err=True)


def _refusal(answer: Answer) -> str:
    said = answer.content.get("error")
    return str(said) if said else f"{answer.url} answers HTTP {answer.status}: is it a cdc-daemon?"
