"""The command line: finds the commands, ours and those of connectors, and runs one of them."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cdc_daemon import __version__, registry
from cdc_daemon.cli.opening import open_configuration
from cdc_daemon.errors import CdcError

OWN_COMMANDS: Final = {
    "run": "cdc_daemon.cli.run:run",
    "demo": "cdc_daemon.cli.demo:demo",
    "price": "cdc_daemon.cli.price:price",
    "compare": "cdc_daemon.cli.compare:compare",
    "validate": "cdc_daemon.cli.validate:validate",
    "check": "cdc_daemon.cli.check:check",
    "explain": "cdc_daemon.cli.explain:explain",
    "plan": "cdc_daemon.cli.plan:plan",
    "preview": "cdc_daemon.cli.preview:preview",
    "schema": "cdc_daemon.cli.schema:schema",
    "status": "cdc_daemon.cli.status:status",
    "wait": "cdc_daemon.cli.wait:wait",
    "backfill": "cdc_daemon.cli.backfill:backfill",
    "deadletters": "cdc_daemon.cli.deadletters:deadletters",
    "state": "cdc_daemon.cli.state:state",
    "healthcheck": "cdc_daemon.cli.healthcheck:healthcheck",
}
"""Our commands in the order of the help, imported only when called, like those of connectors."""


def _entries() -> dict[str, EntryPoint]:
    own = {name: EntryPoint(name, value, registry.COMMANDS) for name, value in OWN_COMMANDS.items()}
    return own | {name: each for name, each in registry.commands().items() if name not in own}


class Commands(TyperGroup):
    """Imports a command when it is called (or its help is shown), and no other."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """All names."""
        return list(_entries())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """The command of that name, None if there is none."""
        entry = _entries().get(cmd_name)
        return None if entry is None else _command(entry)


def _command(entry: EntryPoint) -> Any:
    try:
        function = entry.load()
    except Exception as error:  # noqa: BLE001 - one connector's fault must not break the others
        function = _broken(entry, error)
    if isinstance(function, typer.Typer):
        command: Any = typer.main.get_command(function)
    else:
        holder = typer.Typer(add_completion=False)
        holder.command(entry.name)(function)
        command = typer.main.get_command(holder)
    command.name = entry.name
    return command


def _broken(entry: EntryPoint, cause: Exception) -> Any:
    message = f"the command {entry.name} can't be loaded from {entry.value}: {cause}"

    def fail() -> None:
        raise CdcError(message) from cause

    fail.__doc__ = f"(can't be loaded: {cause})"
    return fail


app = typer.Typer(
    name="cdc-daemon",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature
    if wanted:
        typer.echo(f"cdc-daemon {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Keep OpenSearch read models true to PostgreSQL, and measure how far behind they are."""
    ctx.obj = open_configuration  # an `OpenConfiguration`


def main() -> None:
    """Run the command line; an error of ours is one message and its exit code."""
    try:
        app(prog_name="cdc-daemon")
    except CdcError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
