"""`cdc-daemon compare`: what each way to synchronise costs and misses, on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from cdc_daemon.cli.options import Output, at_least, plot_file

if TYPE_CHECKING:
    from cdc_daemon.compare.figures import Figures

LEAST_SECONDS = 2.0


def compare(  # noqa: PLR0913 - each is an option
    *,
    only: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Techniques, with commas between. [default: all]"),
    ] = "",
    seconds: Annotated[
        float,
        typer.Option(
            parser=at_least(LEAST_SECONDS),
            metavar="TIME",
            help="Of the steady run of each: 20s, 1m, seconds.",
        ),
    ] = "20s",  # type: ignore[assignment]  # typer parses the default as well
    rate: Annotated[float, typer.Option(min=1, help="Transactions a second, of all.")] = 200,
    away: Annotated[
        float,
        typer.Option(
            parser=at_least(0),
            metavar="TIME",
            help="For how long each daemon is away; 0: it isn't.",
        ),
    ] = "60s",  # type: ignore[assignment]  # as above
    rows: Annotated[
        int, typer.Option(min=100, max=1_000_000, help="Of the table, and of a backlog.")
    ] = 50_000,
    plot: Annotated[
        Any,
        typer.Option(parser=plot_file, metavar="FILE", help="Draw the figures: a .svg or a .png."),
    ] = None,
    output: Output = "text",
) -> None:
    """Compare ways to synchronise: one store and workload through each, on servers this starts.

    Prints how late a read model is, what writers pay for it, what the source reads, writes and
    keeps, and what was missed, as an oracle counts it. Exit code 0: each technique ran, and missed
    only what it is known to miss; 1: one didn't; 130: Ctrl-C, with the figures until then.
    """
    # Imported here: the help needs no driver, nor Windows a server.
    from cdc_daemon.outside.extra import require_extra  # noqa: PLC0415

    require_extra("compare")
    from cdc_daemon.compare.comparing import compare as run  # noqa: PLC0415
    from cdc_daemon.compare.plot import draw  # noqa: PLC0415
    from cdc_daemon.compare.techniques import chosen  # noqa: PLC0415
    from cdc_daemon.compare.trial import Options  # noqa: PLC0415
    from cdc_daemon.outside.signals import Interrupted  # noqa: PLC0415

    found: list[Figures] = []
    exit_code = None
    try:
        run(chosen(only), Options(seconds, rate, away), rows, found.append)
    except Interrupted as interruption:
        typer.echo("Interrupted: everything has been stopped.", err=True)
        exit_code = interruption.exit_code
    if found or exit_code is None:  # each has taken minutes
        _show(found, output)
        if plot is not None:
            draw(found, plot)
    if exit_code is None:
        exit_code = 0 if all(each.is_right for each in found) else 1
    raise typer.Exit(exit_code)


def _show(all_figures: list[Figures], output: str) -> None:
    from cdc_daemon.compare.figures import as_json  # noqa: PLC0415 - as above
    from cdc_daemon.compare.table import WIDTH, tables  # noqa: PLC0415 - as above

    if output == "json":
        typer.echo(orjson.dumps(as_json(all_figures), option=orjson.OPT_INDENT_2))
    else:
        console = Console()
        console.width = max(console.width, WIDTH)
        for table in tables(all_figures):
            console.print(table)
    for each in all_figures:
        for fault in [*each.faults, *filter(None, [each.failed])]:
            typer.echo(f"{each.technique}: {fault}", err=True)
