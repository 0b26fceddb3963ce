"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

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
