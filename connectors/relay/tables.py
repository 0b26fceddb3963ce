"""Which tables a log has, and whether they are what the mappings were compiled for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.nearest import nearest
from connectors.relay.log import protected_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.database import Candidate
    from connectors.relay.log import LogHead


def reasons(head: LogHead, relations: Sequence[Relation]) -> Iterator[str]:
    """Why relations can't be followed by this log, and what mends it."""
    for relation in relations:
        name = relation.qualified_name
        if name not in head.tables:
            near = nearest(name, head.tables)
            meant = f" (did you mean {near}?)" if near else ""
            yield (
                f"the log doesn't have table {name}{meant}: add it to relay.tables of the relay, "
                "and start that again"
            )
            continue
        theirs = head.protected.get(name, {})
        ours = protected_columns(relation)
        wrong = [
            column.name
            for column in relation.columns
            if theirs.get(column.name, "") != ours.get(column.name, "")
        ]
        if wrong:
            yield (
                f"table {name}: the rules of source.columns for {', '.join(wrong)} aren't those of "
                "the relay: let both configurations have the same ones, and the same salt"
            )


def memberships(head: LogHead, topic_id: str, candidates: Sequence[Candidate]) -> dict[str, str]:
    """How each table belongs to the log. Another text than before: changes may be missing."""
    return {
        name: f"{candidate.table.oid} {topic_id} {head.tables[name]}"
        for candidate in candidates
        if (name := candidate.relation.qualified_name) in head.tables
    }


def membership_in_log(membership: str) -> str:
    """What `LogHead.tables` has of a table, by what `memberships` says of it."""
    return membership.split(" ", 2)[-1]
