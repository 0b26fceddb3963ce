"""`cdc-daemon slot`: what the server keeps for a pipeline, for people to see and to change."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from cdc_daemon.errors import CdcError, ConfigurationError, RetryError, SlotInUseError, SourceError
from connectors.postgres.config import PostgresConfig
from connectors.postgres.history import look_for_standby
from connectors.postgres.lsn import format_lsn, parse_lsn
from connectors.postgres.openwaits import announced_waits
from connectors.postgres.preflight import server_findings
from connectors.postgres.primary import Primary
from connectors.postgres.session import connect, libpq, mapped_errors
from connectors.postgres.slots import create_slot, drop_slot, find_slot
from connectors.postgres.slotstate import SlotState, meanings, read_state
from connectors.postgres.standbynames import daemon_name
from connectors.postgres.standbyslot import create_standby_slot
from connectors.postgres.walpolicy import BOUND_BY_SERVER, UNBOUNDED, keeps_without_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Position
    from connectors.postgres.session import Connection
    from connectors.postgres.slots import Slot

_LSN: Final = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
_HEAD: Final = """
select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
             else pg_current_wal_flush_lsn() end - '0/0')::int8
"""
_ADVANCE: Final = "select (pg_replication_slot_advance(%s, %s::pg_lsn)).end_lsn::text"
_UNKNOWN: Final = "-"

slot = typer.Typer(
    help="Show and change the replication slot of a pipeline.",
    no_args_is_help=True,
    add_completion=False,
)
# As cdc_daemon.cli.options has them, which connectors don't import.
File = Annotated[
    Path, typer.Argument(envvar="CDC_DAEMON_CONFIG", metavar="FILE", help="The configuration.")
]
DEFAULT_FILE: Final = Path("cdc-daemon.yaml")
Output = Annotated[
    Literal["text", "json"], typer.Option("--output", "-o", help="For people or for programs.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


class NotDoneError(CdcError):
    """There is no such slot, or nobody confirmed."""


@dataclass(frozen=True, slots=True)
class Place:
    """A connection to the source, and what the configuration says of the slot."""

    connection: Connection
    config: PostgresConfig
    name: str
    application: str

    def require_slot(self) -> Slot:
        """Our slot, read by nobody. Raises CdcError."""
        found = find_slot(self.connection, self.name)
        if found is None:
            raise _no_slot(self.name)
        if found.active_pid is not None:
            raise SlotInUseError(
                f"replication slot {self.name} is in use by the server process with pid "
                f"{found.active_pid}: a daemon follows it. Stop the daemon first, or end the "
                f"process: select pg_terminate_backend({found.active_pid})"
            )
        return found


@slot.command("inspect")
def inspect(ctx: typer.Context, file: File = DEFAULT_FILE, output: Output = "text") -> None:
    """Show the slot, what that means, and what to do.

    Exit code 1: there is none.
    """
    with _opened(ctx, file) as place:
        state = read_state(place.connection, place.name)
        if state is None:
            raise _no_slot(place.name)
        said = list(meanings(state, place.config.wal.bounds()))
    if output == "json":
        _print_json({**asdict(state), "lost": state.lost, "meaning": said})
    else:
        typer.echo("\n".join([*_lines(state), "", *(said or ["all is well"])]))


@slot.command("create")
def create(ctx: typer.Context, file: File = DEFAULT_FILE, output: Output = "text") -> None:
    """Make the slot before the daemon does: the server keeps its log from then on.

    The daemon makes the slot by itself, and anew when it loads existing rows: this is to try
    rights and settings, or to see what a slot would wait for.
    """
    with _opened(ctx, file) as place:
        if find_slot(place.connection, place.name) is not None:
            raise SourceError(
                f"replication slot {place.name} is there already: see cdc-daemon slot inspect"
            )
        _require_server(place)
        typer.echo(
            f"From now on the server keeps its log for {place.name}, until a daemon confirms it or "
            "you drop the slot: cdc-daemon slot drop",
            err=True,
        )
        position = _create(place)
        if place.config.wal.limit is None and keeps_without_bound(place.connection):
            typer.echo(f"warning: {UNBOUNDED}. Run: {BOUND_BY_SERVER}", err=True)
    _print_done(output, f"created at {format_lsn(position)}", place.name, position)


@slot.command("advance")
def advance(
    ctx: typer.Context,
    file: File = DEFAULT_FILE,
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="LSN", help="How far. Default: to the end of the log.")
    ] = "",
    yes: Yes = False,
    output: Output = "text",
) -> None:
    """Move the slot forward: changes in between are never read.

    Exit code 1: there is none, or nobody confirmed. 5: a daemon follows it.
    """
    if to and not _LSN.fullmatch(to):
        raise typer.BadParameter("expected a position such as 16/B374D848", param_hint="--to")
    with _opened(ctx, file) as place:
        found = place.require_slot()
        target = _target(place.connection, found, to)
        confirm(
            f"This moves replication slot {place.name} from {format_lsn(found.confirmed)} to "
            f"{format_lsn(target)}, over {target - found.confirmed:,} bytes of the server's log. "
            "Changes that are in between, and that the daemon hasn't read, it never will: "
            "documents stay as they are. At its next start the daemon notices, and loads "
            "everything anew.",
            yes=yes,
        )
        with mapped_errors("advance the replication slot"):
            moved = place.connection.execute(_ADVANCE, [place.name, format_lsn(target)]).fetchone()
        position = parse_lsn(moved[0]) if moved else target
    _print_done(output, f"moved to {format_lsn(position)}", place.name, position)


@slot.command("drop")
def drop(
    ctx: typer.Context, file: File = DEFAULT_FILE, *, yes: Yes = False, output: Output = "text"
) -> None:
    """Drop the slot: the server keeps nothing for the pipeline any more.

    Exit code 1: there is none, or nobody confirmed. 5: a daemon follows it.
    """
    with _opened(ctx, file) as place:
        found = place.require_slot()
        confirm(
            f"This drops replication slot {place.name}, which is at "
            f"{format_lsn(found.confirmed)}. The server then keeps no log for the daemon, and what "
            "changes from now on can't be read later. Searches go on finding what is there. At its "
            "next start the daemon makes the slot anew and loads everything, beside what is "
            "searched.",
            yes=yes,
        )
        drop_slot(place.connection, place.name)
    _print_done(output, "dropped", place.name, None)


@contextmanager
def _opened(ctx: typer.Context, file: Path) -> Iterator[Place]:
    opened = ctx.obj(file)
    config = opened.source
    if not isinstance(config, PostgresConfig):
        raise ConfigurationError(
            f"{file}: the source is of type {config.type}: only postgres has replication slots"
        )
    application = daemon_name(opened.pipeline)
    with ExitStack() as stack:
        try:
            connection = connect(config.dsn.get_secret_value(), name=application)
            stack.callback(connection.close)
            yield Place(connection, config, config.slot_name(opened.pipeline), application)
        except RetryError as error:
            raise SourceError(f"{error}. Check that it runs, and source.dsn") from error


def _no_slot(name: str) -> NotDoneError:
    return NotDoneError(
        f"there is no replication slot {name}: the daemon makes it when it first loads"
    )


def _require_server(place: Place) -> None:
    findings = server_findings(place.connection, place.name, failover=place.config.failover)
    if problems := [each.message for each in findings if each.level == "problem"]:
        raise SourceError("\n".join(problems))


def _create(place: Place) -> Position:
    dsn = place.config.dsn.get_secret_value()
    primary_dsn = place.config.primary_dsn
    if look_for_standby(place.connection, may_be=primary_dsn is not None) and primary_dsn:
        primary = Primary(primary_dsn.get_secret_value(), place.application)
        with connect(dsn, name=place.application, replication=True) as replication:
            return create_standby_slot(replication, place.name, primary)
    with (
        connect(dsn, name=place.application, replication=True) as replication,
        announced_waits(dsn, place.application, libpq(replication).backend_pid),
    ):
        return create_slot(replication, place.name, failover=place.config.failover).position


def _target(connection: Connection, found: Slot, to: str) -> Position:
    """Where the slot is to go: not beyond the end of the log. Raises SourceError for no way."""
    if found.lost:
        raise SourceError(
            f"replication slot {found.name} is lost: it can't be moved, only dropped: "
            "cdc-daemon slot drop"
        )
    with mapped_errors("read the end of the log"):
        line = connection.execute(_HEAD).fetchone()
    end = line[0] if line else 0
    target = min(parse_lsn(to), end) if to else end
    if target <= found.confirmed:
        raise SourceError(
            f"replication slot {found.name} is at {format_lsn(found.confirmed)} already, and a "
            f"slot never moves back; the log ends at {format_lsn(end)}"
        )
    return parse_lsn(format_lsn(target))


def confirm(warning: str, *, yes: bool) -> None:
    """Say what will be lost, and let a person decide. Raises NotDoneError."""
    typer.echo(warning, err=True)
    if yes:
        return
    # Not typer.confirm: it writes a blank to stdout, which is for data.
    typer.echo("Go on? [y/N] ", err=True, nl=False)
    agreed = sys.stdin.readline().strip().lower() in {"y", "yes"}
    if not agreed:
        raise NotDoneError("nothing was changed: answer y, or give --yes where nobody is asked")


def _lines(state: SlotState) -> Iterator[str]:
    reader = f"pid {state.active_pid} ({state.application or 'unknown'})" if state.active else "no"
    for label, value in (
        ("slot", state.slot),
        ("plugin", state.plugin or "none (physical)"),
        ("database", state.database),
        ("read by", reader),
        ("restart", state.restart_lsn),
        ("confirmed", state.confirmed_flush_lsn),
        ("retained", _bytes(state.retained_bytes)),
        ("unconfirmed", _bytes(state.unconfirmed_bytes)),
        ("wal_status", state.wal_status),
        ("safe_wal_size", _bytes(state.safe_wal_size)),
        ("invalidated", state.invalidation_reason or "no"),
        ("failover", state.failover),
        ("synced", state.synced),
        ("two_phase", state.two_phase),
        ("catalog xmin", f"{state.catalog_xmin_age or 0:,} transactions old"),
    ):
        yield f"{label:14}{_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _UNKNOWN if value is None else str(value)


def _bytes(count: int | None) -> str | None:
    return None if count is None else f"{count:,} bytes"


def _print_done(output: str, done: str, name: str, position: Position | None) -> None:
    if output == "json":
        _print_json({"slot": name, "position": None if position is None else format_lsn(position)})
    else:
        typer.echo(f"{name}: {done}")


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2))
