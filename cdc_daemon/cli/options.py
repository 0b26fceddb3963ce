"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from cdc_daemon.quantities import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FILE: Final = Path("cdc-daemon.yaml")

ConfigurationFile = Annotated[
    Path, typer.Argument(envvar="CDC_DAEMON_CONFIG", metavar="FILE", help="The configuration.")
]
Output = Annotated[
    Literal["text", "json"], typer.Option("--output", "-o", help="For people or for programs.")
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="CDC_DAEMON_URL",
        help="The web side of the daemon. Default: web.listen of the configuration.",
    ),
]


def at_least(least_seconds: float) -> Callable[[str], float]:
    """The parser of an option that is a time: `20s`, `1m`, plain seconds; in seconds."""

    def duration(text: str) -> float:
        try:
            value = seconds(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if value < least_seconds:
            raise typer.BadParameter(f"expected at least {least_seconds:.0f} s")
        return value

    return duration
