"""`cdc-daemon price`: what each consistency costs, measured on real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from cdc_daemon.cli.options import at_least, new_file, plot_file

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.price.prices import Price

LEAST_SECONDS = 2.0


def price(
    *,
    duration: Annotated[
        float,
        typer.Option(
            parser=at_least(LEAST_SECONDS),
            metavar="TIME",
            help="Of each strategy: 20s, 1m, seconds.",
        ),
    ] = "20s",  # type: ignore[assignment]  # typer parses the default as well
    clients: Annotated[int, typer.Option(min=1, max=100, help="That write and search.")] = 8,
    rate: Annotated[float, typer.Option(min=1, help="Transactions a second, of all.")] = 200,
    strategies: Annotated[
        str, typer.Option(metavar="NAMES", help="With commas between. [default: all]")
    ] = "",
    json: Annotated[
        Any,
        typer.Option(
            "--json", parser=new_file, metavar="FILE", help="Write the figures there, too."
        ),
    ] = None,
    plot: Annotated[
        Any,
        typer.Option(parser=plot_file, metavar="FILE", help="Draw them: a .svg or a .png."),
    ] = None,
) -> None:
    """Compare consistencies: the same workload under each, on servers that this starts.

    Prints how long COMMITs and reads take, how stale answers are, and what searches missed, as a
    checker of all that clients did finds it. Exit code 0: each strategy kept what it promises; 1:
    one didn't; 130: Ctrl-C.
    """
    # Imported here: the help needs no driver, nor Windows a server.
    from cdc_daemon.outside.extra import require_extra  # noqa: PLC0415

    require_extra("price")
    from cdc_daemon.outside.signals import Interrupted  # noqa: PLC0415
    from cdc_daemon.price.comparing import Options, compare  # noqa: PLC0415
    from cdc_daemon.price.plot import draw  # noqa: PLC0415
    from cdc_daemon.price.strategies import chosen  # noqa: PLC0415

    options = Options(duration, clients, rate, chosen(strategies))
    try:
        prices = compare(options)
    except Interrupted as interruption:
        typer.echo("Interrupted: everything has been stopped.", err=True)
        raise typer.Exit(interruption.exit_code) from None
    _show(prices)
    if json is not None:
        _write(json, prices)
    if plot is not None:
        draw(prices, plot)
    raise typer.Exit(1 if any(each.faults for each in prices) else 0)


def _show(prices: list[Price]) -> None:
    from cdc_daemon.price.table import WIDTH, table  # noqa: PLC0415 - as above

    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table(prices))
    for each in prices:
        for fault in each.faults:
            typer.echo(f"{each.strategy} did not keep: {fault}", err=True)


def _write(file: Path, prices: list[Price]) -> None:
    from cdc_daemon.price.prices import as_json  # noqa: PLC0415 - as above

    file.write_bytes(orjson.dumps(as_json(prices), option=orjson.OPT_INDENT_2) + b"\n")
