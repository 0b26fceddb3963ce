"""`cdc-daemon strong enable | disable | status`: what it refuses, does and puts back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cdc_daemon.ports import Standing
from connectors.postgres.clock import PostgresClock
from connectors.postgres.config import WalConfig
from tests.generators.running_daemon import until
from tests.integration.strong.conftest import (
    DEGRADING,
    ITEMS,
    PATIENCE_SECONDS,
    STRICT,
    enable,
    found,
    run_strong,
    standby_name,
)

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import Cluster, StartCommit

SETTING = "show synchronous_standby_names"


def slot_name(daemon: RunningDaemon) -> str:
    """The daemon's slot."""
    return f"cdc_{daemon.status()['pipeline']}"


def setting(connection: psycopg.Connection) -> str:
    """Whom commits wait for."""
    [(value,)] = connection.execute(SETTING).fetchall()
    return str(value)


@pytest.fixture
def daemon(item: psycopg.Connection, start_daemon: StartDaemon, cluster: Cluster) -> RunningDaemon:  # noqa: ARG001 - for their effect
    """One that streams, and commits may wait for."""
    started = start_daemon(ITEMS, consistency=STRICT)
    started.wait_until("streaming")
    started.catch_up()
    return started


def test_commits_wait_from_enable_to_disable(
    daemon: RunningDaemon, item: psycopg.Connection, rest: Rest, commit: StartCommit
) -> None:
    """Each says what is so now; what was before is there again."""
    before = run_strong(daemon, "status")
    assert before.returncode == 1
    assert "don't wait" in before.stdout
    asked = run_strong(daemon, "enable", answer="n\n")
    assert (asked.returncode, setting(item)) == (1, "")
    dry = run_strong(daemon, "enable", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.startswith("alter system set synchronous_standby_names = 'FIRST 1")
    assert setting(item) == ""
    enable(daemon)
    assert run_strong(daemon, "status").returncode == 0
    state = json.loads(run_strong(daemon, "status", "--output", "json").stdout)
    assert (state["enabled"], state["active"], state["waiting"]) == (True, True, 0)
    commit("insert into item values (1, 1)").returned()
    assert found(rest, "n:1") == 1
    again = run_strong(daemon, "enable", "--yes")
    assert (again.returncode, again.stdout) == (0, "commits can wait for the daemon already\n")
    disabled = run_strong(daemon, "disable")
    assert disabled.returncode == 0, disabled.stderr
    assert setting(item) == ""
    assert daemon.events("strong_began")
    until(lambda: daemon.events("strong_ended"), PATIENCE_SECONDS, "it has noticed")


def test_a_daemon_that_runs_with_another_configuration_is_refused(
    daemon: RunningDaemon, item: psycopg.Connection
) -> None:
    """The file says what the daemon will do after its next start, and not what it does."""
    written = daemon.file.read_text()
    changed = {**json.loads(written), "consistency": DEGRADING}
    daemon.file.write_text(json.dumps(changed))
    refused = run_strong(daemon, "enable", "--yes")
    daemon.file.write_text(written)
    assert refused.returncode == 3
    assert "another consistency.strong" in refused.stderr
    assert setting(item) == ""
    assert run_strong(daemon, "enable", "--dry-run").returncode == 0


def test_other_standbys_stay(
    daemon: RunningDaemon, item: psycopg.Connection, cluster: Cluster
) -> None:
    """Commits wait for as many of them as before, and for the daemon; disabled: as before."""
    cluster.wait_for("FIRST 1 (s1, s2)")
    until(lambda: setting(item) == "FIRST 1 (s1, s2)", PATIENCE_SECONDS, "it is set")
    dry = run_strong(daemon, "enable", "--dry-run")
    assert f'FIRST 2 ("{standby_name(daemon)}", "s1", "s2")' in dry.stdout
    assert "1 of s1, s2" in dry.stderr
    cluster.wait_for("ANY 1 (s1, s2)")
    until(lambda: setting(item) == "ANY 1 (s1, s2)", PATIENCE_SECONDS, "it is set")
    refused = run_strong(daemon, "enable", "--yes")
    assert refused.returncode == 3
    assert '\'FIRST 1 ("s1", "s2")\'' in refused.stderr
    cluster.wait_for("*")
    until(lambda: setting(item) == "*", PATIENCE_SECONDS, "it is set")
    assert "takes any" in run_strong(daemon, "enable", "--yes").stderr
    cluster.wait_for(f'FIRST 2 ("{standby_name(daemon)}", s1, s2)')
    until(lambda: "FIRST 2" in setting(item), PATIENCE_SECONDS, "it is set")
    assert run_strong(daemon, "disable").returncode == 0
    assert setting(item) == 'FIRST 1 ("s1", "s2")'


def test_it_is_refused_where_commits_would_hang(
    item: psycopg.Connection, start_daemon: StartDaemon, database: Database, cluster: Cluster
) -> None:
    """No daemon, no configuration, no guard, no right: each with what to do, and nothing is set."""
    cluster.wait_for("")
    plain = start_daemon(ITEMS, start=False, folder="plain")
    without = run_strong(plain, "enable", "--yes")
    assert without.returncode == 3
    assert "consistency: {strong: {}}" in without.stderr
    assert "start the daemon first" in without.stderr
    daemon = start_daemon(ITEMS, consistency=DEGRADING, folder="degrading")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert "cdc-daemon strong guard" in run_strong(daemon, "enable", "--yes").stderr
    item.execute("drop role if exists reader")
    item.execute("create role reader login password 'reader'")
    dsn = database.dsn.replace(f"postgres:{database.server.password}", "reader:reader")
    clock = PostgresClock(dsn, standby_name(daemon), slot_name(daemon), WalConfig())
    cluster.wait_for(f'FIRST 1 ("{standby_name(daemon)}")')
    expected = Standing(named=True, synchronous=True)
    until(lambda: clock.standing() == expected, PATIENCE_SECONDS, "a role that sees nothing knows")
    cluster.wait_for(f'FIRST 1 (s1, "{standby_name(daemon)}")')
    until(lambda: clock.standing() == Standing(named=True), PATIENCE_SECONDS, "as far as it can")
    clock.close()
    cluster.wait_for("")
    until(lambda: setting(item) == "", PATIENCE_SECONDS, "it is set")
    powerless = run_strong(daemon, "enable", "--yes", "--admin-dsn", dsn)
    assert powerless.returncode == 3
    assert "pg_reload_conf() to reader" in powerless.stderr
    seen = json.loads(run_strong(daemon, "status", "--admin-dsn", dsn, "-o", "json").stdout)
    assert seen["waiting"] is None
    assert setting(item) == ""
    item.execute("drop role reader")
