"""A COMMIT that asks for it returns when its documents are found by a search."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.strong.conftest import ITEMS, found

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon
    from tests.integration.strong.conftest import Cluster, StartCommit

JOINED: dict[str, Any] = {
    "items": {
        **ITEMS["items"],
        "embed": {"parts": {"count": "public.part", "on": {"item_id": "id"}}},
    }
}
COMMITTERS = 16
ROUNDS = 5


def count(daemon: RunningDaemon, what: str) -> float:
    """How many requests of that kind the daemon has made."""
    return daemon.total(f"cdc_{what}_duration_seconds_count")


@pytest.mark.parametrize("projections", [ITEMS, JOINED], ids=["flat", "joined"])
def test_what_was_committed_is_found(
    item: psycopg.Connection,
    start_daemon: StartDaemon,
    rest: Rest,
    cluster: Cluster,
    commit: StartCommit,
    projections: dict[str, Any],
) -> None:
    """The search after a COMMIT finds its rows, and not what they were before."""
    item.execute("create table part (id int primary key, item_id int)")
    cluster.make_strong(start_daemon(projections))
    times = []
    for number in range(10):
        began = time.monotonic()
        commit(f"insert into item values ({number}, {number})").returned()
        times.append(time.monotonic() - began)
        assert found(rest, f"n:{number}") == 1
    print(f"commit to searchable: median {sorted(times)[5]:.4f} s")  # noqa: T201 - for people
    commit("update item set n = 100 where id = 3").returned()
    assert (found(rest, "n:3"), found(rest, "n:100")) == (0, 1)
    commit("delete from item where id = 3").returned()
    assert found(rest, "n:100") == 0


@pytest.mark.usefixtures("item")
def test_many_commits_share_requests(
    start_daemon: StartDaemon, rest: Rest, cluster: Cluster, commit: StartCommit
) -> None:
    """Of many that wait at the same time several go with one request, and one refresh."""
    daemon = start_daemon(ITEMS)
    cluster.make_strong(daemon)
    requests, refreshes = count(daemon, "bulk_request"), count(daemon, "refresh")
    for at in range(ROUNDS):
        together = [
            commit(f"insert into item values ({at * COMMITTERS + number}, {at})")
            for number in range(COMMITTERS)
        ]
        for each in together:
            each.returned()
        assert found(rest, f"n:{at}") == COMMITTERS
    requests = count(daemon, "bulk_request") - requests
    refreshes = count(daemon, "refresh") - refreshes
    print(f"{ROUNDS * COMMITTERS} commits: {requests:g} requests, {refreshes:g} refreshes")  # noqa: T201 - for people
    assert requests < ROUNDS * COMMITTERS * 0.75
    assert refreshes <= requests


def test_commits_elsewhere_go_on(
    item: psycopg.Connection,
    start_daemon: StartDaemon,
    cluster: Cluster,
    commit: StartCommit,
    database: Database,
) -> None:
    """Also those of other databases, of tables that nobody maps, and at every level, don't hang."""
    cluster.make_strong(start_daemon(ITEMS))
    item.execute("create table unmapped (id int)")
    with psycopg.connect(database.server.dsn, autocommit=True) as elsewhere:
        elsewhere.execute("create table if not exists other (id int)")
    for level in ("remote_apply", "on", "remote_write", "local"):
        began = time.monotonic()
        for number in range(5):
            commit(
                f"insert into other values ({number})", level=level, dsn=database.server.dsn
            ).returned()
            commit(f"insert into unmapped values ({number})", level=level).returned()
        print(f"{level}: {(time.monotonic() - began) / 10:.4f} s each")  # noqa: T201 - for people


@pytest.mark.usefixtures("item")
def test_durable_is_enough_where_it_is_asked_for(
    start_daemon: StartDaemon, cluster: Cluster, commit: StartCommit
) -> None:
    """A COMMIT at the level `on` waits until its documents are durable and checkpointed."""
    cluster.make_strong(start_daemon(ITEMS))
    began = time.monotonic()
    for number in range(5):
        commit(f"insert into item values ({number}, 0)", level="on").returned()
    print(f"on: {(time.monotonic() - began) / 5:.4f} s each")  # noqa: T201 - for people
