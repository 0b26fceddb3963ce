"""Every part of strong consistency with a role that has what the guides name, and nothing more."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from tests.generators.running_daemon import until
from tests.integration.strong.conftest import (
    DEGRADING,
    ITEMS,
    PATIENCE_SECONDS,
    STRICT,
    found,
    run_strong,
    standby_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import Cluster, StartCommit, StartGuard

OPERATOR = (
    "grant pg_read_all_stats to {role}",
    "grant execute on function pg_reload_conf() to {role}",
    "grant alter system on parameter synchronous_standby_names to {role}",
)
"""Of docs/how-to/strong.md, 4."""
FOLLOWER = ("grant select on item to {role}", "grant pg_read_all_stats to {role}")
WARNING = "canceling wait for synchronous replication due to user request"


@dataclass(frozen=True, slots=True)
class Role:
    """One without superuser."""

    name: str
    dsn: str
    superuser: psycopg.Connection

    def run(self, *statements: str) -> None:
        """As the superuser, with the role's name put in."""
        for statement in statements:
            self.superuser.execute(sql.SQL(statement).format(role=sql.Identifier(self.name)))


@pytest.fixture
def roles(database: Database, item: psycopg.Connection) -> Iterator[list[Role]]:
    """Who may: change the setting; follow the table; write to it, as its owner."""
    made = []
    for kind in ("operator", "follower", "writer"):
        name = f"{kind}_{uuid.uuid4().hex[:8]}"
        account = f"postgres:{database.server.password}"
        role = Role(name, database.dsn.replace(account, f"{name}:secret"), item)
        role.run("create role {role} login password 'secret'")
        made.append(role)
    operator, follower, writer = made
    operator.run(*OPERATOR)
    follower.run("alter role {role} replication", *FOLLOWER)
    writer.run("alter table item owner to {role}")
    item.execute("create publication pub for table only item with (publish_via_partition_root)")
    yield made
    for role in made:
        role.run("drop owned by {role} cascade", "drop role {role}")


def source_of(follower: Role) -> dict[str, Any]:
    """The section of a daemon that owns nothing."""
    return {"dsn": follower.dsn, "publication": {"name": "pub", "manage": False}}


def enable_as(operator: Role, daemon: RunningDaemon) -> None:
    """Let commits wait."""
    daemon.wait_until("streaming")
    daemon.catch_up()
    enabled = run_strong(daemon, "enable", "--yes", "--admin-dsn", operator.dsn)
    assert enabled.returncode == 0, enabled.stderr
    until(lambda: daemon.total("cdc_strong_active") == 1, PATIENCE_SECONDS, "it knows that")


def test_a_daemon_that_owns_nothing_lets_migrations_go(
    roles: list[Role], start_daemon: StartDaemon, commit: StartCommit, rest: Rest
) -> None:
    """Only with the right to signal; without it, it says what is in its way."""
    operator, follower, writer = roles
    daemon = start_daemon(ITEMS, source=source_of(follower), consistency=STRICT)
    enable_as(operator, daemon)
    commit("insert into item values (1, 1)", dsn=writer.dsn).returned()
    assert found(rest, "n:1") == 1
    migration = commit(
        "alter table item add a text default 'x'",
        "insert into item values (2, 1)",
        dsn=writer.dsn,
    )
    until(lambda: daemon.events("commit_in_the_way"), PATIENCE_SECONDS, "it says so")
    assert migration.waits
    follower.run("grant pg_signal_backend to {role}")
    migration.returned()
    assert migration.warnings == [WARNING]
    until(lambda: found(rest, "a:x") == 2, PATIENCE_SECONDS, "all have the new column")
    disabled = run_strong(daemon, "disable", "--admin-dsn", operator.dsn)
    assert disabled.returncode == 0, disabled.stderr
    daemon.close()


def test_a_guard_that_only_replicates_stands_in(
    roles: list[Role],
    start_daemon: StartDaemon,
    start_guard: StartGuard,
    commit: StartCommit,
    cluster: Cluster,
) -> None:
    """As the role that the daemon has."""
    operator, follower, writer = roles
    daemon = start_daemon(ITEMS, source=source_of(follower), consistency=DEGRADING)
    daemon.wait_until("streaming")
    start_guard(daemon)
    enable_as(operator, daemon)
    guard = standby_name(daemon).replace(":", "-guard:")
    daemon.kill()
    until(lambda: cluster.state_of(guard) == "sync", PATIENCE_SECONDS, "it stands in")
    commit("insert into item values (1, 1)", dsn=writer.dsn).returned()
