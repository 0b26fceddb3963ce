"""Others that take part: a physical standby of the server, and a daemon that stands by."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon import embedded
from tests.conftest import fresh_database
from tests.generators.running_daemon import until
from tests.generators.standby import standby_of
from tests.integration.strong.conftest import (
    ITEMS,
    PATIENCE_SECONDS,
    STRICT,
    Cluster,
    Commit,
    enable,
    found,
    run_strong,
    standby_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import StartCommit

LOCAL: dict[str, str | int] = {"synchronous_commit": "local"}
STANDBY = "walreceiver"
"""What a standby calls itself that isn't told otherwise."""
HANGS_SECONDS = 1.0


@pytest.fixture(scope="module")
def primary(request: pytest.FixtureRequest) -> Iterator[embedded.PostgresServer]:
    """A server that has a standby."""
    version = request.config.getoption("--postgres")
    with embedded.postgres(
        version=version, settings=LOCAL, fsync=False, progress=lambda _: None
    ) as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: embedded.PostgresServer) -> Iterator[embedded.PostgresServer]:
    """The standby, which streams."""
    with standby_of(primary) as server:
        yield server


@pytest.fixture
def beside(primary: embedded.PostgresServer) -> Iterator[Cluster]:
    """Whom commits of that server wait for: the standby, in the beginning."""
    with closing(Cluster(primary)) as cluster:
        cluster.wait_for(STANDBY)
        yield cluster


@pytest.fixture
def dsn(primary: embedded.PostgresServer) -> Iterator[str]:
    """A database of that server, with one table."""
    with fresh_database(primary) as database:
        with psycopg.connect(database.dsn) as connection:
            connection.execute("create table item (id int primary key, n int)")
        yield database.dsn


@pytest.fixture
def daemon(dsn: str, start_daemon: StartDaemon) -> Iterator[RunningDaemon]:
    """One of that database; gone before the database is."""
    started = start_daemon(ITEMS, source={"dsn": dsn}, consistency=STRICT)
    yield started
    started.close()


def status(daemon: RunningDaemon) -> str:
    """What `cdc-daemon strong status` says."""
    return run_strong(daemon, "status").stdout


def test_a_commit_waits_for_the_standby_and_for_the_daemon(
    standby: embedded.PostgresServer,
    beside: Cluster,
    daemon: RunningDaemon,
    dsn: str,
    rest: Rest,
) -> None:
    """It hangs while one of them is away, and is found all the same once the daemon has it."""
    until(lambda: beside.state_of(STANDBY) == "sync", PATIENCE_SECONDS, "the standby is waited for")
    enable(daemon)
    assert f"standby       {STANDBY}: streaming, sync" in status(daemon)
    Commit(dsn, "insert into item values (1, 1)").returned()
    assert found(rest, "n:1") == 1
    standby.pause()
    waiting = Commit(dsn, "insert into item values (2, 1)")
    until(lambda: found(rest, "n:1") == 2, PATIENCE_SECONDS, "it is found")
    waiting.join(HANGS_SECONDS)
    assert waiting.waits
    standby.resume()
    waiting.returned()
    daemon.kill()
    waiting = Commit(dsn, "insert into item values (3, 1)")
    until(lambda: "hang until" in status(daemon), PATIENCE_SECONDS, "it says that it hangs")
    assert waiting.waits
    daemon.start()
    waiting.returned()
    assert not waiting.warnings
    assert found(rest, "n:1") == 3
    assert run_strong(daemon, "disable").returncode == 0
    until(lambda: beside.state_of(STANDBY) == "sync", PATIENCE_SECONDS, "as before")


@pytest.mark.usefixtures("standby")
def test_a_standby_that_takes_the_place_of_the_daemon_is_named(
    beside: Cluster, daemon: RunningDaemon, dsn: str, rest: Rest
) -> None:
    """With more names than are waited for, commits return without it, also where it is `strict`."""
    daemon.wait_until("streaming")
    daemon.catch_up()
    name = standby_name(daemon)
    beside.wait_for(f'FIRST 1 ("{name}", {STANDBY})')
    until(lambda: daemon.total("cdc_strong_active") == 1, PATIENCE_SECONDS, "it knows that")
    daemon.kill()
    Commit(dsn, "insert into item values (1, 2)").returned()
    assert found(rest, "n:2") == 0
    assert "other standbys take its place" in status(daemon)
    daemon.start()
    until(lambda: beside.state_of(name) == "sync", PATIENCE_SECONDS, "waited for")
    Commit(dsn, "insert into item values (2, 2)").returned()
    assert found(rest, "n:2") == 2


@pytest.mark.usefixtures("item")
def test_a_daemon_that_takes_over_is_waited_for(
    start_daemon: StartDaemon, commit: StartCommit, rest: Rest
) -> None:
    """Commits that were made in between return as soon as it streams, and are found once it has
    loaded: its state is its own. From then on commits wait for it, too.
    """  # noqa: D205 - one sentence
    first = start_daemon(ITEMS, consistency=STRICT, standby=True, folder="first")
    enable(first)
    second = start_daemon(ITEMS, consistency=STRICT, standby=True, folder="second")
    second.wait_until("standby")
    commit("insert into item values (1, 3)").returned()
    first.kill()
    waiting = [commit(f"insert into item values ({number}, 3)") for number in range(2, 6)]
    for each in waiting:
        each.returned()
    assert not any(each.warnings for each in waiting)
    until(lambda: second.total("cdc_strong_active") == 1, PATIENCE_SECONDS, "it has loaded")
    assert found(rest, "n:3") == 5
    assert second.status()["state"] == "streaming"
    commit("insert into item values (6, 3)").returned()
    assert found(rest, "n:3") == 6


@pytest.mark.usefixtures("item")
def test_a_daemon_that_takes_over_on_the_same_machine_has_the_state(
    start_daemon: StartDaemon, commit: StartCommit, rest: Rest, tmp_path: Path
) -> None:
    """Where both name the same folder nothing is loaded, and commits wait until they are found."""
    both = [
        start_daemon(
            ITEMS,
            consistency=STRICT,
            standby=True,
            folder=name,
            state={"path": str(tmp_path / "shared")},
            start=False,
        )
        for name in ("first", "second")
    ]
    both[0].start()
    enable(both[0])
    both[1].start()
    both[1].wait_until("standby")
    for number, runs in enumerate(both):
        runs.kill()
        waiting = [commit(f"insert into item values ({number * 10 + n}, 4)") for n in range(5)]
        for each in waiting:
            each.returned()
        assert found(rest, "n:4") == 5 * (number + 1)
        assert not any(each.warnings for each in waiting)
        runs.start()
        runs.wait_until("standby")
    assert set(rest.get("/_alias/items")) == {"items-000001"}
