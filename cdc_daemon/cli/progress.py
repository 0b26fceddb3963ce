"""How loads are shown: bars on a terminal, lines elsewhere; once, or until they are done."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import typer

from cdc_daemon.cli.running import NotRunningError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

Loads: TypeAlias = dict[str, Any]
"""What `GET /api/v1/backfill` says."""

ASK_SECONDS: Final = 0.5
LINE_SECONDS: Final = 5.0
"""Where there is no terminal each load gets a line so often."""
AWAY_SECONDS: Final = 60.0
"""A daemon that is restarted goes on with its loads: it is waited for so long."""
BAR_WIDTH: Final = 24


def show(state: Loads) -> None:
    """Print what is under way and what has ended."""
    from rich.console import Console  # noqa: PLC0415 - 50 ms, for terminals only

    console = Console()
    if console.is_terminal and state["loads"]:
        console.print(_bars(state))
    else:
        typer.echo("\n".join(_lines(state)))
    for one in state["ended"]:
        typer.echo(_line_of_ended(one))


def follow(
    state: Loads, ask: Callable[[], Loads | None], is_meant: Callable[[dict[str, Any]], bool]
) -> Loads:
    """Show on stderr how far loads are until those that are meant are done; the last answer.

    `ask` gives None while the daemon doesn't answer. Raises NotRunningError if that lasts.
    """
    answered_at = time.monotonic()
    with _view() as update:
        while any(map(is_meant, state["loads"])):
            update(state)
            time.sleep(ASK_SECONDS)
            answer = ask()
            if answer is not None:
                state, answered_at = answer, time.monotonic()
            elif time.monotonic() - answered_at > AWAY_SECONDS:
                raise NotRunningError(
                    f"the daemon hasn't answered for {AWAY_SECONDS:g} s. What it was reading goes "
                    "on when it is started again"
                )
    return state


@contextmanager
def _view() -> Iterator[Callable[[Loads], None]]:
    """Bars that move, on a terminal; elsewhere lines, not too many."""
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.live import Live  # noqa: PLC0415 - as above

    console = Console(stderr=True)
    if console.is_terminal:
        with Live(console=console, transient=True) as live:
            yield lambda state: live.update(_bars(state))
        return
    due = 0.0

    def print_sometimes(state: Loads) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + LINE_SECONDS
            typer.echo("\n".join(_lines(state)), err=True)

    yield print_sometimes


def _bars(state: Loads) -> Table:
    from rich.progress_bar import ProgressBar  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table.grid(padding=(0, 2))
    for load in state["loads"]:
        bar = ProgressBar(total=1.0, completed=load["share"], width=BAR_WIDTH)
        name, *cells = map(Text, _cells(load, paused=state["paused"]))
        table.add_row(name, bar, *cells)
    return table


def _lines(state: Loads) -> Iterator[str]:
    for load in state["loads"]:
        yield "  ".join(filter(None, _cells(load, paused=state["paused"])))
    if not state["loads"]:
        yield "no rows are being read"


def _cells(load: dict[str, Any], *, paused: bool) -> Iterator[str]:
    """Table, share, what it does, rows, rate, time left: what isn't known is empty."""
    rate, left = load["rows_per_second"], load["seconds_left"]
    yield load["table"]
    yield f"{100 * load['share']:.1f} %"
    verb = "repairs" if load["repairs"] else "loads"
    verb += " a part of" if load["partly"] else ""
    doing = "paused" if paused and load["phase"] != "finishing" else load["phase"]
    yield f"{verb} {', '.join(load['projections'])}: {doing}"
    yield f"{load['rows']:,} rows"
    yield "" if rate is None else f"{rate:,.0f} rows/s"
    yield "" if left is None or paused else f"{_time(left)} left"


def _line_of_ended(one: dict[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(one["time"]))
    names = ", ".join(one["projections"])
    reason = f"  {one['reason']}" if one["reason"] else ""
    return f"{one['table']}  {one['outcome']} {names}  {one['rows']:,} rows  {moment}{reason}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
