"""The server of commits that wait for projectors fails over: all three go on with the other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.conftest import OF_THE_MACHINE
from tests.generators.daemons import daemons
from tests.generators.running_daemon import until
from tests.generators.standby import (
    PHYSICAL_SLOT,
    copy_slot,
    dsn_of_both,
    fail_over,
    private_pair,
)
from tests.integration.joined.conftest import TABLES, Store
from tests.integration.strong.conftest import run_strong
from tests.integration.strong.test_projectors import SECONDS, Pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cdc_daemon.embedded import KafkaServer
    from tests.generators import standby
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

__all__ = ["private_pair"]

SLOT = "survives"
WAITS_FOR_STANDBYS = 17
COMMITS = 20


@pytest.fixture
def dsn(private_pair: standby.Pair) -> str:
    """Of whichever takes writes; the relay hears of nothing that its standby doesn't have."""
    primary = private_pair.primary
    if primary.version < WAITS_FOR_STANDBYS:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL waits for standbys from 17 on")
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute(f"alter system set synchronized_standby_slots = '{PHYSICAL_SLOT}'")
        connection.execute("select pg_reload_conf()")
    return dsn_of_both(primary, private_pair.standby)


@pytest.fixture
def pair(
    dsn: str, rest: Rest, kafka: KafkaServer, start_daemon: StartDaemon, tmp_path: Path
) -> Iterator[Pair]:
    """None of them is started."""
    store = Store(dsn, rest)
    store.execute(TABLES)
    at = {"bootstrap_servers": kafka.bootstrap_servers}
    with daemons(dsn, {"type": "kafka", **at}, tmp_path) as make:
        log: dict[str, Any] = {"type": "relay", "dsn": dsn, "log": f"log-{tmp_path.name}", **at}
        made = Pair(store, make, start_daemon, log)
        made.relay_source = {"slot": SLOT, "failover": True}
        yield made
        for each in made.committers:
            each.close()


def test_commits_wait_again_once_all_have_followed(
    pair: Pair,
    private_pair: standby.Pair,
) -> None:
    """What projectors say of the old timeline isn't taken for what they say of the new one."""
    pair.begin()
    copy_slot(private_pair.primary, private_pair.standby, SLOT)
    before = pair.committer().many(COMMITS)
    fail_over(private_pair.primary, private_pair.standby)
    until(lambda: pair.relay.events("failover_followed"), SECONDS, "the relay goes on")

    def is_enabled() -> bool:
        """It is a setting of the server, and this one had no such."""
        return run_strong(pair.relay, "enable", "--yes").returncode == 0

    until(is_enabled, SECONDS, "projectors have followed as well")
    until(lambda: pair.relay.total("cdc_strong_active") == 1, SECONDS, "it is known")
    after = pair.committer(first=1000).many(COMMITS)
    for committer in (before, after):
        assert not committer.missed
        assert not committer.warnings
    assert all(pair.store.found(number) for number in range(COMMITS))
