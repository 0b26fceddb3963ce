"""`cdc-daemon demo`: the main job on real servers, on your screen."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from cdc_daemon.cli.options import at_least

LEAST_SECONDS = 1.0


def demo(
    *,
    duration: Annotated[
        float,
        typer.Option(
            parser=at_least(LEAST_SECONDS), metavar="TIME", help="How long: 60s, 5m, plain seconds."
        ),
    ] = "60s",  # type: ignore[assignment]  # typer parses the default as well
    rate: Annotated[float, typer.Option(min=1, help="Transactions a second.")] = 100,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Of status and metrics. [default: 9645, or a free one]"
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Let everything run on after the summary, until Ctrl-C.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of the live screen.")
    ] = False,
    through: Annotated[
        Literal["kafka"] | None,
        typer.Option(
            "--with", help="`kafka`: a relay writes changes to it, and projectors share the work."
        ),
    ] = None,
) -> None:
    """See it work: a hotel store in PostgreSQL, searched in OpenSearch, and the delay between.

    Starts both servers (the first time it fetches them), the daemon and a steady random workload;
    shows the replication delay live; then compares every document with its row. Exit code 0: all
    are equal; 1: one differs; 130: Ctrl-C. It leaves nothing behind but what was fetched.
    """
    # Imported here: the help needs no driver, nor Windows a server.
    from cdc_daemon.demo.demo import Options, run  # noqa: PLC0415
    from cdc_daemon.outside.signals import Interrupted  # noqa: PLC0415

    plain = plain or not sys.stdout.isatty()
    try:
        code = run(Options(duration, rate, port, keep, plain, kafka=through is not None))
    except Interrupted as interruption:
        typer.echo("Interrupted: everything has been stopped.", err=True)
        code = interruption.exit_code
    raise typer.Exit(code)
