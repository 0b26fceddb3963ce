"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from cdc_daemon.quantities import seconds

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FILE: Final = Path("cdc-daemon.yaml")
PLOTS: Final = (".svg", ".png")

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


def new_file(text: str) -> Path:
    """A file that can be written: to be told so after a run would be late."""
    path = Path(text)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise typer.BadParameter("expected a file in a folder that exists")
    return path


def plot_file(text: str) -> Path:
    """The same, for a picture."""
    path = new_file(text)
    if path.suffix not in PLOTS:
        raise typer.BadParameter(f"expected a file that ends with {' or '.join(PLOTS)}")
    return path
