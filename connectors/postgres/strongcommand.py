"""`cdc-daemon strong`: lets commits wait until searches find what they wrote, or not any more."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cdc_daemon.errors import ConfigurationError, RetryError, SourceError
from connectors.postgres.config import PostgresConfig
from connectors.postgres.session import connect
from connectors.postgres.slotcommand import DEFAULT_FILE, File, NotDoneError, Output, Yes, confirm
from connectors.postgres.strongchecks import consequences, reasons_against, rights
from connectors.postgres.strongguard import Guard
from connectors.postgres.strongstate import StrongState, read_strong_state
from connectors.postgres.strongswitch import (
    RELOAD,
    SETTING,
    apply,
    change_to,
    require_setting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cdc_daemon.ports import Finding, Running, StrongTerms
    from connectors.postgres.session import Connection
    from connectors.postgres.strongswitch import Change

strong = typer.Typer(
    help="Let commits wait until searches find what they wrote (strong consistency).",
    no_args_is_help=True,
    add_completion=False,
)
AdminDsn = Annotated[
    str,
    typer.Option(
        "--admin-dsn",
        envvar="CDC_DAEMON_ADMIN_DSN",
        help="As whom to look and to change the setting. Default: source.dsn.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
]
Listen = Annotated[
    str,
    typer.Option(
        "--listen",
        help="HOST:PORT, to show /livez, /readyz and /metrics. Without it nothing is shown.",
    ),
]
NO_DSN: Final = ""
UNWATCHED: Final = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A connection to the source, and what the configuration says."""

    connection: Connection
    dsn: str
    config: PostgresConfig
    pipeline: str
    terms: StrongTerms | None
    running: Running | None
    """What the daemon says of itself; None where none answers."""

    def state(self) -> StrongState:
        """What the server shows now."""
        slot = self.config.slot_name(self.pipeline)
        return read_strong_state(self.connection, self.pipeline, slot)


@strong.command("enable")
def enable(
    ctx: typer.Context,
    file: File = DEFAULT_FILE,
    *,
    admin_dsn: AdminDsn = NO_DSN,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Make the daemon a synchronous standby, once it is caught up.

    Exit code 1: nobody agreed. 3: something must be mended first; each reason comes with its SQL.
    """
    with _opened(ctx, file, admin_dsn) as place:
        before = place.state()
        against = list(reasons_against(place.connection, before, place.terms, place.running))
        terms = place.terms
        guarded = terms is not None and terms.degrades
        names = before.names.with_daemon(before.daemon_name, before.guard_name, guarded=guarded)
        change = change_to(place.connection, names)
        if dry_run:
            _print_change(change)
        if against or terms is None:
            raise SourceError(_listed(against))
        _warn(place, before, terms)
        if dry_run:
            return
        if before.is_active and before.names == names:
            typer.echo("commits can wait for the daemon already")
            return
        confirm(f"This runs: {change.statement}; {RELOAD}", yes=yes)
        if not apply(place.connection, change, lambda: place.state().is_active):
            apply(place.connection, change_to(place.connection, before.names), lambda: True)
            raise SourceError(
                "the daemon has not become a synchronous standby in time, and the setting is as it "
                "was before: see cdc-daemon strong status, and whether the daemon still streams"
            )
    typer.echo(
        "commits can wait for the daemon now: set local synchronous_commit = remote_apply, in each "
        f"transaction that is to wait until {_until(terms)} it"
    )


@strong.command("disable")
def disable(
    ctx: typer.Context,
    file: File = DEFAULT_FILE,
    *,
    admin_dsn: AdminDsn = NO_DSN,
    dry_run: DryRun = False,
) -> None:
    """Let no commit wait for the daemon any more; those that wait return at once."""
    with _opened(ctx, file, admin_dsn) as place:
        before = place.state()
        names = before.names.without_daemon(before.daemon_name, before.guard_name)
        change = change_to(place.connection, names)
        if dry_run:
            _print_change(change)
            return
        if names == before.names:
            typer.echo("commits don't wait for the daemon")
            return
        if against := list(rights(place.connection, before)):
            raise SourceError(_listed(against))
        apply(place.connection, change, lambda: place.state().names == names)
        require_setting(place.connection, names)
    typer.echo(f"commits don't wait for the daemon any more; {SETTING} is {str(names)!r}")


@strong.command("status")
def status(
    ctx: typer.Context,
    file: File = DEFAULT_FILE,
    *,
    admin_dsn: AdminDsn = NO_DSN,
    output: Output = "text",
) -> None:
    """Show whether commits wait for the daemon, for whom else, and what that means.

    Exit code 1: they don't.
    """
    with _opened(ctx, file, admin_dsn) as place:
        state = place.state()
        said = _meaning(state, place.terms, place.running)
    if output == "json":
        typer.echo(json.dumps(_shown(state, said), indent=2))
    else:
        typer.echo("\n".join([*_lines(state), "", said]))
    if not state.is_active:
        raise typer.Exit(NotDoneError.exit_code)


@strong.command("guard")
def guard(ctx: typer.Context, file: File = DEFAULT_FILE, *, listen: Listen = UNWATCHED) -> None:
    """Stand in for a daemon that is away, so that commits don't hang (when_away: degrade).

    Runs until it is stopped: beside PostgreSQL, or anywhere but beside the daemon. It reads the
    server's log, keeps nothing of it, and answers that all is well.
    """
    opened = ctx.obj(file)
    config = _require_postgres(file, opened.source)
    if opened.strong is None or not opened.strong.degrades:
        raise ConfigurationError(
            f"{file}: nobody needs a guard: write consistency: {{strong: {{when_away: degrade}}}}"
        )
    dsn, slot = config.dsn.get_secret_value(), config.slot_name(opened.pipeline)
    standing_in = Guard(dsn, opened.pipeline, slot, opened.strong.silence_seconds)
    with opened.shown(listen, standing_in.health) if listen else nullcontext():
        standing_in.run()


@contextmanager
def _opened(ctx: typer.Context, file: Path, admin_dsn: str) -> Iterator[Place]:
    opened = ctx.obj(file)
    config = _require_postgres(file, opened.source)
    dsn = admin_dsn or config.dsn.get_secret_value()
    with ExitStack() as stack:
        try:
            connection = connect(dsn, name="cdc-daemon:strong")
            stack.callback(connection.close)
            yield Place(connection, dsn, config, opened.pipeline, opened.strong, opened.running())
        except RetryError as error:
            raise SourceError(f"{error}. Check that it runs, and source.dsn") from error


def _require_postgres(file: Path, config: Any) -> PostgresConfig:
    if not isinstance(config, PostgresConfig):
        raise ConfigurationError(
            f"{file}: the source is of type {config.type}: only commits of postgres can wait"
        )
    return config


def _warn(place: Place, state: StrongState, terms: StrongTerms) -> None:
    if place.running is None:
        typer.echo(
            "warning: daemon: it doesn't answer here (web.listen), so nobody knows whether it "
            "still loads read models, which commits don't wait for: see cdc-daemon status",
            err=True,
        )
    with connect(place.dsn, name="cdc-daemon:strong", plain=True) as plain:
        for finding in consequences(place.connection, plain, state, terms):
            mark = "warning: " if finding.level == "warning" else ""
            typer.echo(f"{mark}{finding.check}: {finding.message}", err=True)


def _listed(findings: list[Finding]) -> str:
    return "\n".join(f"{finding.check}: {finding.message}" for finding in findings)


def _print_change(change: Change) -> None:
    typer.echo(f"{change.statement};\n{RELOAD};")


def _until(terms: StrongTerms) -> str:
    if terms.projectors:
        return f"searches of {', '.join(terms.projectors)} find"
    return "Kafka has" if terms.relays else "searches find"


def _promised(terms: StrongTerms | None, running: Running | None) -> str:
    if terms is not None and terms.projectors:
        return (
            "commits with synchronous_commit = remote_apply return when searches of "
            f"{', '.join(terms.projectors)} find them, those at on when Kafka has them. How far "
            "each is: cdc-daemon status, under projectors"
            f"{_but_for(running.unheard if running is not None else ())}"
        )
    if terms is not None and terms.relays:
        return (
            "commits with synchronous_commit = on or remote_apply return when who reads committed "
            "messages sees their changes: not when a search does"
        )
    if running is not None and running.state == "loading":
        return (
            "commits wait for the daemon, but not for the read models that it loads just now: "
            "searches of those see the old index until then"
        )
    return "commits with synchronous_commit = remote_apply return when a search finds them"


def _but_for(unheard: Sequence[str]) -> str:
    """Those of projectors for which that doesn't hold just now, each with why."""
    return f". Not now, though: {'; '.join(unheard)}" if unheard else ""


def _meaning(state: StrongState, terms: StrongTerms | None, running: Running | None) -> str:
    if state.is_active:
        return _promised(terms, running)
    if not state.is_enabled:
        return "commits don't wait for the daemon: cdc-daemon strong enable lets them"
    missed = "Kafka may lack" if terms is not None and terms.relays else "searches may miss"
    if terms is not None and terms.degrades and state.guard is not None:
        return (
            "the daemon is away or behind, and the guard stands in: commits return at once, and "
            f"{missed} what they wrote, until the daemon has caught up"
        )
    if state.is_replaced:
        return (
            "the daemon is away or behind, and other standbys take its place: commits return, and "
            f"{missed} what they wrote, until the daemon has caught up"
        )
    return (
        "the daemon is away or behind: commits that wait for it hang until it has caught up. To "
        "let them go: cdc-daemon strong disable"
    )


def _lines(state: StrongState) -> Iterator[str]:
    yield f"{'setting':14}{state.setting or 'empty'}"
    for label, name, standby in (
        ("daemon", state.daemon_name, state.daemon),
        ("guard", state.guard_name, state.guard),
    ):
        where = "not connected" if standby is None else f"{standby.state}, {standby.sync_state}"
        yield f"{label:14}{name}: {where}"
    for other in state.others:
        yield f"{'standby':14}{other.name}: {other.state}, {other.sync_state}"
    yield f"{'waiting':14}{'unknown' if state.waiting is None else state.waiting} commits"


def _shown(state: StrongState, said: str) -> dict[str, Any]:
    return {
        "enabled": state.is_enabled,
        "active": state.is_active,
        "setting": state.setting,
        "standbys": [asdict(standby) for standby in state.standbys],
        "waiting": state.waiting,
        "meaning": said,
    }
