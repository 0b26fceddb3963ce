"""`cdc-daemon outbox`: what the outbox of a pipeline needs in the database, made and taken away."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from cdc_daemon.errors import ConfigurationError, RetryError, SourceError
from cdc_daemon.ports import TableRequest
from connectors.outbox.config import OutboxConfig
from connectors.outbox.installing import (
    Installed,
    find_installed,
    key_reasons,
    lacking,
    owner_reasons,
    removal,
    run_steps,
    steps,
    type_reasons,
)
from connectors.outbox.noting import Noting, require_known, who_notes
from connectors.outbox.objects import owned_by, reader_rights
from connectors.outbox.source import OutboxSource
from connectors.postgres.database import Database, mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connectors.postgres.database import Candidate

outbox = typer.Typer(
    help="Make, show and take away what an outbox needs in the database.",
    no_args_is_help=True,
    add_completion=False,
)
File = Annotated[
    Path, typer.Argument(envvar="CDC_DAEMON_CONFIG", metavar="FILE", help="The configuration.")
]
DEFAULT_FILE: Final = Path("cdc-daemon.yaml")
Output = Annotated[
    Literal["text", "json"], typer.Option("--output", "-o", help="For people or for programs.")
]
PrintSql = Annotated[
    bool, typer.Option("--sql", help="Print the statements, and run none of them.")
]
AdminDsn = Annotated[
    str,
    typer.Option(
        "--admin-dsn",
        envvar="CDC_DAEMON_ADMIN_DSN",
        metavar="DSN",
        help="The owner of the tables, where the role of source.dsn isn't.",
    ),
]
_TABLE_OWNERS: Final = """
select distinct pg_get_userbyid(relowner)::text from pg_catalog.pg_class where oid = any(%s)
"""
_ROLE: Final = "select quote_ident(current_user)"


@dataclass(frozen=True, slots=True)
class Place:
    """What the configuration says, and what is there."""

    config: OutboxConfig
    database: Database
    installed: Installed
    candidates: Sequence[Candidate]

    @property
    def noting(self) -> Noting:
        """Who notes what becomes of each table."""
        return who_notes(self.config, self.candidates)


@outbox.command("install")
def install(
    ctx: typer.Context,
    file: File = DEFAULT_FILE,
    *,
    admin_dsn: AdminDsn = "",
    print_sql: PrintSql = False,
) -> None:
    """Make the outbox and its triggers, as the mapping has it; again after it has changed.

    As the owner of the tables. A trigger is made once nobody writes its table.
    """
    with _opened(ctx, file, admin_dsn) as place:
        place.installed.require_ours()
        _require_followed(place)
        statements = list(steps(place.installed, place.noting, notify=place.config.notify))
        if print_sql or admin_dsn:
            role = _role(place.config.dsn.get_secret_value())
            statements.append(reader_rights(place.config.in_schema, role))
        if print_sql:
            statements.extend(
                owned_by(place.config.in_schema, owner) for owner in _owners(place)[:1]
            )
            typer.echo("".join(statements), nl=False)
            return
        queries, oids = place.database.queries(), _triggered(place)
        if reasons := owner_reasons(queries, place.installed, oids):
            raise SourceError("\n".join(reasons))
        run_steps(queries, statements)
    for how, some in (
        ("triggers note", place.noting.by_triggers),
        ("the application itself writes", place.noting.by_applications),
    ):
        if some:
            typer.echo(f"{place.config.in_schema}: {how} what becomes of {_tables(some)}")


@outbox.command("remove")
def remove(
    ctx: typer.Context,
    file: File = DEFAULT_FILE,
    *,
    admin_dsn: AdminDsn = "",
    print_sql: PrintSql = False,
) -> None:
    """Take triggers and outbox away, with what nobody has read.

    The next start of the daemon refuses to run, until the outbox is installed again.
    """
    with _opened(ctx, file, admin_dsn) as place:
        place.installed.require_ours()
        statements = list(removal(place.installed))
        if print_sql:
            typer.echo("".join(statements), nl=False)
            return
        if holder := place.database.held_by(place.config.lock):
            raise SourceError(f"{holder} reads the outbox: stop that daemon first")
        run_steps(place.database.queries(), statements)
    typer.echo(f"{place.config.in_schema}: removed")


@outbox.command("status")
def status(ctx: typer.Context, file: File = DEFAULT_FILE, output: Output = "text") -> None:
    """Show what is installed, what is lacking, and how much is kept.

    Exit code 3: changes of what is mapped would be missed.
    """
    with _opened(ctx, file) as place:
        missing = list(lacking(place.installed, place.noting))
        kept = 0
        if place.installed.is_there:
            clock = OutboxSource(place.config, pipeline=place.installed.pipeline).clock()
            health = clock.slot_health()
            kept = 0 if health is None else health.retained_bytes
            clock.close()
        said = {
            "schema": place.config.in_schema,
            "installed": place.installed.is_there,
            "read_by": place.database.held_by(place.config.lock),
            "retained_bytes": kept,
            "lacking": missing,
        }
    if output == "json":
        typer.echo(json.dumps(said, indent=2))
    else:
        typer.echo(f"schema        {said['schema']}")
        typer.echo(f"installed     {'yes' if said['installed'] else 'no'}")
        typer.echo(f"read by       {said['read_by'] or 'nobody'}")
        typer.echo(f"retained      {kept:,} bytes")
    if missing:
        raise SourceError(f"{'; '.join(missing)}. Run: cdc-daemon outbox install")


@contextmanager
def _opened(ctx: typer.Context, file: Path, admin_dsn: str = "") -> Iterator[Place]:
    opened = ctx.obj(file)
    config = opened.source
    if not isinstance(config, OutboxConfig):
        raise ConfigurationError(
            f"{file}: the source is of type {config.type}: only outbox has an outbox"
        )
    database = Database(admin_dsn or config.dsn.get_secret_value(), _name(opened.pipeline))
    try:
        relations = database.describe([TableRequest(name) for name in opened.tables])
        require_known(config, relations)
        candidates, _ = database.candidates(relations)
        installed = find_installed(database.queries(), config.in_schema, opened.pipeline)
        yield Place(config, database, installed, candidates)
    except RetryError as error:
        raise SourceError(str(error)) from error
    finally:
        database.close()


def _require_followed(place: Place) -> None:
    """Nothing is made for tables that can't be followed."""
    reasons = [
        reason
        for candidate in place.candidates
        for reason in (
            *key_reasons(candidate),
            *type_reasons(place.database.queries(), candidate),
        )
    ]
    if reasons:
        raise SourceError("\n".join(reasons))


def _role(dsn: str) -> str:
    """What the daemon is there, quoted."""
    database = Database(dsn, _name("install"))
    try:
        with mapped_errors("ask who the daemon is"):
            [(role,)] = database.queries().execute(_ROLE)
    finally:
        database.close()
    return str(role)


def _triggered(place: Place) -> list[int]:
    """The tables whose changes triggers note."""
    return [candidate.table.oid for candidate in place.noting.by_triggers]


def _owners(place: Place) -> list[str]:
    """The owners of the tables: of several, the daemon refuses to run."""
    with mapped_errors("look who owns the tables"):
        found = place.database.queries().execute(_TABLE_OWNERS, [_triggered(place)]).fetchall()
    return [owner for (owner,) in found]


def _name(pipeline: str) -> str:
    return f"cdc-daemon outbox {pipeline}"


def _tables(candidates: Sequence[Candidate]) -> str:
    return ", ".join(candidate.relation.qualified_name for candidate in candidates)
