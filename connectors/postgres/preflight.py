"""What can be known to fail beforehand: checked before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from psycopg import sql

from cdc_daemon.errors import SourceError
from cdc_daemon.ports import Finding
from connectors.postgres.catalog import Table, leaf_partitions, list_tables
from connectors.postgres.lateridentity import warn_of_later
from connectors.postgres.ownmark import OUTBOX, OWN_TABLES, READ_TABLE
from connectors.postgres.readable import kind_reasons, privilege_reasons, reading_reasons
from connectors.postgres.session import mapped_errors
from connectors.postgres.slots import find_slot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Relation
    from connectors.postgres.session import Connection

OLDEST_VERSION: Final = 140000
"""pgoutput and snapshots as this connector uses them; tested on 15, 16 and 18."""
FAILOVER_VERSION: Final = 170000
"""From here on standbys can keep copies of logical slots."""
ORIGIN_VERSION: Final = 160000
"""From here on pgoutput can leave out changes by their origin."""

# On Amazon RDS roles can't have the attribute; membership in rds_replication stands for it.
_SERVER: Final = """
select current_setting('server_version_num')::int, current_setting('wal_level'),
       current_setting('max_replication_slots')::int,
       (select count(*) from pg_catalog.pg_replication_slots)::int,
       r.rolreplication or r.rolsuper or exists (
         select from pg_catalog.pg_roles g
         where g.rolname = 'rds_replication' and pg_has_role(g.oid, 'member')),
       current_user::text, current_setting('server_encoding')
from pg_catalog.pg_roles r where r.rolname = current_user
"""
_COMMENTS: Final = """
select coalesce(obj_description(c.oid, 'pg_class'), ''),
       coalesce(obj_description(c.relnamespace, 'pg_namespace'), '')
from pg_catalog.pg_class c where c.oid = %s
"""


class Candidate(NamedTuple):
    """A relation that is to be followed, and the table that it is."""

    relation: Relation
    table: Table
    leaves: Sequence[Table]
    """The partitions that hold its rows; none if it isn't partitioned."""


def check_source(
    connection: Connection,
    relations: Sequence[Relation],
    slot: str,
    *,
    failover: bool,
    origin: str,
) -> None:
    """Raise SourceError with every reason why `relations` can't be followed, and what mends it.

    Where they can, it is logged what would make UPDATE and DELETE on them fail later.
    """
    reasons = [
        finding.message
        for finding in server_findings(connection, slot, failover=failover, origin=origin)
        if finding.level == "problem"
    ]
    candidates, missing = find_candidates(connection, relations)
    reasons.extend(missing)
    is_to_load = find_slot(connection, slot) is None
    for candidate in candidates:
        reasons.extend(table_reasons(connection, candidate))
        if is_to_load:
            reasons.extend(load_reasons(connection, candidate))
    reasons.extend(overlap_reasons(candidates))
    if reasons:
        raise SourceError("\n".join(reasons))
    for candidate in candidates:
        warn_of_later(connection, candidate.table, candidate.leaves)


def table_reasons(connection: Connection, candidate: Candidate) -> Iterator[str]:
    """Why one table can't be followed, whatever the others are."""
    yield from kind_reasons((candidate.table, *candidate.leaves))
    yield from own_reasons(connection, candidate.relation.qualified_name, candidate.table)
    yield from identity_reasons(connection, candidate.table, candidate.leaves)
    yield from privilege_reasons(connection, candidate.relation, candidate.table)


def load_reasons(connection: Connection, candidate: Candidate) -> list[str]:
    """Why its rows can't be read, where they can be followed: of no matter to what was loaded."""
    known = set(table_reasons(connection, candidate))
    leaves = candidate.leaves or [candidate.table]
    return [
        reason
        for reason in reading_reasons(connection, candidate.relation, leaves)
        if reason not in known
    ]


def own_reasons(connection: Connection, name: str, table: Table) -> Iterator[str]:
    """A table that a pipeline writes would feed it without end."""
    with mapped_errors("read the comments of tables"):
        found = connection.execute(_COMMENTS, [table.oid]).fetchone()
    comment, comment_of_schema = found or ("", "")
    if comment.startswith(READ_TABLE):
        yield (
            f"table {name} is a read table that cdc-daemon writes: map the tables that it is made "
            "of"
        )
    elif table.name in OWN_TABLES or comment_of_schema.startswith(OUTBOX):
        yield f"table {name} is one that cdc-daemon keeps for itself: map tables of your own"


def find_candidates(
    connection: Connection, relations: Sequence[Relation]
) -> tuple[list[Candidate], list[str]]:
    """The tables that the relations are, and a reason for each that is gone."""
    tables = list_tables(connection)
    by_name = {(table.schema, table.name): table for table in tables}
    known = [
        (relation, by_name[relation.schema, relation.name])
        for relation in relations
        if (relation.schema, relation.name) in by_name
    ]
    missing = [
        f"table {relation.qualified_name} does not exist any more"
        for relation in relations
        if (relation.schema, relation.name) not in by_name
    ]
    leaves = leaf_partitions(connection, [table for _, table in known], tables)
    found = [Candidate(relation, table, leaves.get(table.oid, ())) for relation, table in known]
    return found, missing


def server_findings(
    connection: Connection, slot: str, *, failover: bool = False, origin: str = "any"
) -> Iterator[Finding]:
    """Whether the server is set up for logical replication; all that must be, well or not."""
    with mapped_errors("read the server's settings"):
        found = connection.execute(_SERVER).fetchone()
    if found is None:
        return
    version, wal_level, most_slots, slots, may_replicate, user, encoding = found
    yield _version_finding(version, failover=failover)
    if origin == "none":
        yield _judged(
            "origin",
            version >= ORIGIN_VERSION,
            "what came from other servers is left out",
            f"source.origin is none, and PostgreSQL {version // 10000} can't tell the plugin to "
            "leave out what came from other servers: that came with 16. Set it to any",
        )
    yield _judged(
        "wal_level",
        wal_level == "logical",
        "logical",
        f"wal_level is {wal_level}, and must be logical. Run: alter system set wal_level = "
        "'logical'; and restart the server (managed servers have a parameter for it)",
    )
    role = sql.Identifier(user).as_string(connection)
    yield _judged(
        "role",
        may_replicate,
        f"{user} may replicate",
        f"the role {user} may not replicate. Run as a superuser: alter role {role} replication",
    )
    yield _judged(
        "encoding",
        encoding == "UTF8",
        encoding,
        f"the database is encoded in {encoding}; only UTF8 databases can be followed",
    )
    yield _judged(
        "max_replication_slots",
        slots < most_slots or find_slot(connection, slot) is not None,
        f"{slots} of {most_slots} are taken",
        f"all {most_slots} replication slots are taken (see pg_replication_slots). Drop one, or "
        f"run: alter system set max_replication_slots = {most_slots + 4}; and restart the server",
    )


def _version_finding(version: int, *, failover: bool) -> Finding:
    name = str(version // 10000)
    if version < OLDEST_VERSION:
        return Finding("version", "problem", f"PostgreSQL {name} is too old: 14 or later is needed")
    return _judged(
        "version",
        version >= FAILOVER_VERSION or not failover,
        f"PostgreSQL {name}",
        f"source.failover is true, and PostgreSQL {name} has no failover slots: they came with 17. "
        "Set it to false",
    )


def _judged(check: str, good: bool, well: str, problem: str) -> Finding:  # noqa: FBT001 - the judgement itself
    return Finding(check, "ok", well) if good else Finding(check, "problem", problem)


def identity_reasons(
    connection: Connection, table: Table, leaves: Sequence[Table]
) -> Iterator[str]:
    """Why UPDATE and DELETE would fail once it is published: each partition counts by itself."""
    if table.kind not in {"table", "partitioned"}:
        return
    for each in leaves or [table]:
        if each.kind == "foreign table":
            continue  # its changes are not streamed: that is reason enough
        name = sql.Identifier(each.schema, each.name).as_string(connection)
        if each.primary_key_deferrable and each.identity != "index":
            yield (
                f"the primary key of table {each.schema}.{each.name} is deferrable: two rows may "
                "have one key until a statement or transaction ends, so when rows swap keys the "
                "stream doesn't tell which of them is left. Drop that constraint, and add the "
                "primary key again without DEFERRABLE"
            )
        elif each.identity == "full" and each.has_virtual_columns:
            yield (
                f"table {each.schema}.{each.name} has replica identity full and virtual generated "
                "columns, which PostgreSQL does not publish: once published, its UPDATE and DELETE "
                f"would fail. With a primary key, run: alter table {name} replica identity default"
            )
        elif each.identity != "full" and not each.identity_columns:
            yield (
                f"table {each.schema}.{each.name} has no usable replica identity "
                f"({_why_unusable(each)}): once published, its UPDATE and DELETE would fail. Give "
                f"it a primary key, or run: alter table {name} replica identity full"
            )


def _why_unusable(table: Table) -> str:
    if table.identity == "nothing":
        return "replica identity nothing"
    if table.identity == "index":
        return "its index was dropped"
    return "no primary key"


def overlap_reasons(candidates: Sequence[Candidate]) -> Iterator[str]:
    """Changes of a partition come as those of the partitioned table, never as both."""
    mapped = {candidate.table.oid for candidate in candidates}
    for candidate in candidates:
        for leaf in candidate.leaves:
            if leaf.oid in mapped:
                yield (
                    f"{leaf.schema}.{leaf.name} is a partition of "
                    f"{candidate.relation.qualified_name}, and both are mapped: its changes come "
                    "only as those of the partitioned table. Map one of the two, or use two "
                    "pipelines with a publication each"
                )
