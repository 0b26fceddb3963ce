"""Who notes the changes of each table: triggers of ours, or the application itself. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.errors import SettingError
from cdc_daemon.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.outbox.config import OutboxConfig
    from connectors.postgres.database import Candidate


class Noting(NamedTuple):
    """The tables of a mapping, by who notes what becomes of their rows."""

    by_triggers: Sequence[Candidate]
    by_applications: Sequence[Candidate]


def who_notes(config: OutboxConfig, candidates: Sequence[Candidate]) -> Noting:
    """As the configuration has it."""
    by_triggers: list[Candidate] = []
    by_applications: list[Candidate] = []
    for candidate in candidates:
        is_left = config.is_left_to_applications(candidate.relation.qualified_name)
        (by_applications if is_left else by_triggers).append(candidate)
    return Noting(by_triggers, by_applications)


def written_names(relations: Sequence[Relation]) -> dict[str, tuple[str, ...]]:
    """By `schema.name`: what an application may call each in the outbox, as mappings name tables.

    One of the schema `public` needs no schema, unless its own name reads as that of another one.
    """
    whole = {relation.qualified_name for relation in relations}
    return {
        name: (name,) if short in whole else (name, short)
        for name, short in ((each, each.removeprefix("public.")) for each in sorted(whole))
    }


def unknown_tables(config: OutboxConfig, relations: Sequence[Relation]) -> Iterator[str]:
    """Tables that are left to applications, and that no mapping reads."""
    known = {relation.qualified_name for relation in relations}
    names = known | {name.removeprefix("public.") for name in known}
    for name in config.written_by_applications:
        if name not in names:
            close = nearest(name, names)
            meant = f"; did you mean {close}?" if close else ""
            yield (
                f"source.written_by_applications names the table {name}, which no mapping "
                f"reads{meant}"
            )


def require_known(config: OutboxConfig, relations: Sequence[Relation]) -> None:
    """Raise SettingError where the configuration leaves a table to applications that isn't mapped.

    It is mistyped more likely, and the one that was meant would get a trigger.
    """
    if unknown := list(unknown_tables(config, relations)):
        raise SettingError([(("written_by_applications",), why) for why in unknown])
