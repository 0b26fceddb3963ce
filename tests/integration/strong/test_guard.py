"""What can happen to a guard: it is there again by itself, or says what keeps it away."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

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
    import subprocess

    import psycopg

    from cdc_daemon.embedded import PostgresServer
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import Cluster, StartCommit, StartGuard


@pytest.fixture
def daemon(item: psycopg.Connection, start_daemon: StartDaemon) -> RunningDaemon:  # noqa: ARG001 - for its table
    """One that a guard is to stand in for."""
    started = start_daemon(ITEMS, consistency=DEGRADING)
    started.wait_until("streaming")
    return started


def guard_name(daemon: RunningDaemon) -> str:
    """What its guard calls itself."""
    return standby_name(daemon).replace(":", "-guard:")


def test_a_guard_connects_again_when_the_server_is_back(
    daemon: RunningDaemon,
    cluster: Cluster,
    commit: StartCommit,
    start_guard: StartGuard,
    postgres_server: PostgresServer,
    rest: Rest,
) -> None:
    """And stands in as before, for a daemon that was not there meanwhile."""
    guard = start_guard(daemon)
    enable(daemon)
    name, guards_name = standby_name(daemon), guard_name(daemon)
    daemon.kill()
    postgres_server.stop()
    postgres_server.start()
    until(lambda: cluster.state_of(guards_name) == "sync", PATIENCE_SECONDS, "it stands in")
    assert guard.poll() is None
    commit("insert into item values (1, 1)").returned()
    daemon.start()
    until(lambda: cluster.state_of(name) == "sync", PATIENCE_SECONDS, "waited for")
    commit("insert into item values (2, 1)").returned()
    assert found(rest, "n:1") == 2


def test_one_of_two_guards_is_enough(
    daemon: RunningDaemon, commit: StartCommit, start_guard: StartGuard
) -> None:
    """The other one may be frozen: the server gives it up, and takes the one that answers."""
    guards: list[subprocess.Popen[bytes]] = [start_guard(daemon), start_guard(daemon)]
    enable(daemon)
    daemon.kill()
    commit("insert into item values (1, 1)").returned()
    for frozen in guards:
        frozen.send_signal(signal.SIGSTOP)
        commit("insert into item values (2, 1)", "delete from item where id = 2").returned()
        frozen.send_signal(signal.SIGCONT)


def test_what_keeps_a_guard_from_standing_in_is_said(
    daemon: RunningDaemon, start_daemon: StartDaemon
) -> None:
    """Nobody needs it, or the role isn't allowed to replicate: with what to do."""
    strict = start_daemon(ITEMS, consistency=STRICT, folder="strict", start=False)
    unneeded = run_strong(strict, "guard")
    assert unneeded.returncode == 2
    assert "when_away: degrade" in unneeded.stderr
    taken = run_strong(daemon, "guard", "--listen", daemon.url.removeprefix("http://"))
    assert taken.returncode == 1
    assert "can't listen" in taken.stderr
