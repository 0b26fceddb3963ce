"""The daemon is away: commits that wait hang, or go on, as the configuration says."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cdc_daemon.embedded.ports import free_port
from connectors.postgres.session import connect
from tests.generators.rest import Rest
from tests.generators.running_daemon import PATIENCE, until
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
    from collections.abc import Sequence

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import Cluster, Commit, StartCommit, StartGuard

HANGS_SECONDS = 1.0
"""What still waits then waits for good: without the daemon a COMMIT takes a millisecond."""
KILLED_SECONDS = 2.0
"""After so long the policy holds where the daemon was killed."""
FROZEN_SECONDS = float(DEGRADING["strong"]["release_after"].removesuffix("s")) + 2.0
"""And where it is frozen: far less than the 60 s that the server has by default."""
LATE = {"strong": {**DEGRADING["strong"], "release_after": "5m"}}
"""A silence alone lets nobody go within a test."""


def released(commits: Sequence[Commit], began: float, seconds: float) -> float:
    """Wait until they have returned, so many seconds after `began` at most; how many it took."""
    most = seconds * PATIENCE
    for each in commits:
        each.returned(max(began + most - time.monotonic(), 0.0))
    return time.monotonic() - began


def shown_by_guard(listen: str) -> tuple[bool, dict[str, float]]:
    """Whether it is ready, and its metrics."""
    rest = Rest(f"http://{listen}")
    text = rest.text("GET", "/metrics")
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return rest.get("/readyz")["ok"], {each.name: each.value for each in samples}


@pytest.mark.usefixtures("item")
def test_strict_commits_wait_until_the_daemon_is_back(
    start_daemon: StartDaemon, rest: Rest, cluster: Cluster, commit: StartCommit
) -> None:
    """Killed with -9: nothing returns, and all is found once it has."""
    daemon = start_daemon(ITEMS, consistency=STRICT)
    enable(daemon)
    name = standby_name(daemon)
    daemon.kill()
    until(lambda: cluster.state_of(name) is None, KILLED_SECONDS, "the server has noticed")
    waiting = [commit(f"insert into item values ({number}, 7)") for number in range(5)]
    local = commit("insert into item values (100, 7)", level="local")
    local.returned()
    waiting[0].join(HANGS_SECONDS)
    assert all(each.waits for each in waiting)
    daemon.start()
    for each in waiting:
        each.returned()
    assert not any(each.warnings for each in waiting)
    assert found(rest, "n:7") == 6


@pytest.mark.usefixtures("item")
def test_commits_of_other_databases_depend_on_the_sink(
    start_daemon: StartDaemon,
    opensearch: embedded.OpenSearchServer,
    commit: StartCommit,
    database: Database,
) -> None:
    """While it takes no writes they hang as well, and `enable` warns of that."""
    daemon = start_daemon(ITEMS, consistency=STRICT)
    enable(daemon)
    said = run_strong(daemon, "enable", "--dry-run").stderr
    assert "warning" in next(line for line in said.splitlines() if "other databases" in line)
    elsewhere = database.server.dsn
    with connect(elsewhere, name="test") as connection:
        connection.execute("create table if not exists other (id int)")
    opensearch.pause()
    try:
        commit("insert into item values (1, 7)", level="local").returned()
        waiting = [
            commit("insert into other values (1)", level=level, dsn=elsewhere)
            for level in ("on", "remote_apply")
        ]
        commit("insert into other values (2)", level="remote_write", dsn=elsewhere).returned()
        waiting[0].join(HANGS_SECONDS)
        assert all(each.waits for each in waiting)
    finally:
        opensearch.resume()
    for each in waiting:
        each.returned()


@pytest.mark.usefixtures("item")
def test_degrading_commits_return_without_the_daemon(
    start_daemon: StartDaemon,
    rest: Rest,
    cluster: Cluster,
    commit: StartCommit,
    start_guard: StartGuard,
) -> None:
    """Killed with -9, the guard stands in; when it is back it is waited for again, by itself."""
    daemon = start_daemon(ITEMS, consistency=LATE)
    daemon.wait_until("streaming")
    listen = f"127.0.0.1:{free_port()}"
    guard = start_guard(daemon, "--listen", listen)
    enable(daemon)
    name = standby_name(daemon)
    assert shown_by_guard(listen) == (True, {"cdc_guard_connected": 1, "cdc_guard_stands_in": 0})
    daemon.signal(signal.SIGSTOP)
    frozen = commit("insert into item values (1, 8)")
    frozen.join(HANGS_SECONDS)
    assert frozen.waits
    began = time.monotonic()
    daemon.kill()
    took = released([frozen, commit("insert into item values (2, 8)")], began, KILLED_SECONDS)
    print(f"released {took:.2f} s after kill -9")  # noqa: T201 - for people
    assert cluster.state_of(name.replace(":", "-guard:")) == "sync"
    assert found(rest, "n:8") == 0
    until(lambda: shown_by_guard(listen)[1]["cdc_guard_stands_in"], PATIENCE_SECONDS, "alarm")
    daemon.start()
    until(lambda: cluster.state_of(name) == "sync", PATIENCE_SECONDS, "it is waited for again")
    commit("insert into item values (3, 8)").returned()
    assert found(rest, "n:8") == 3
    until(lambda: not shown_by_guard(listen)[1]["cdc_guard_stands_in"], PATIENCE_SECONDS, "over")
    guard.terminate()
    assert guard.wait(PATIENCE_SECONDS) == 0


@pytest.mark.usefixtures("item")
def test_a_frozen_daemon_is_given_up(
    start_daemon: StartDaemon, rest: Rest, commit: StartCommit, start_guard: StartGuard
) -> None:
    """After `release_after` at most; when it goes on it loses nothing."""
    daemon = start_daemon(ITEMS, consistency=DEGRADING)
    daemon.wait_until("streaming")
    start_guard(daemon)
    enable(daemon)
    daemon.signal(signal.SIGSTOP)
    began = time.monotonic()
    took = released([commit("insert into item values (1, 9)")], began, FROZEN_SECONDS)
    print(f"released {took:.2f} s after SIGSTOP")  # noqa: T201 - for people
    daemon.signal(signal.SIGCONT)
    daemon.catch_up()
    assert found(rest, "n:9") == 1


def test_the_server_is_told_how_long_a_silence_may_be(
    postgres_server: embedded.PostgresServer,
) -> None:
    """By the walsender's own setting; who doesn't say so has the server's."""
    for silence, expected in ((4.0, "4s"), (None, "1min")):
        with connect(
            postgres_server.dsn, name="silent", replication=True, silence_seconds=silence
        ) as walsender:
            assert walsender.execute("show wal_sender_timeout").fetchone() == (expected,)
