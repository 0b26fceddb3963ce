"""A promoted standby is followed by the same state where it lacks nothing, and else loaded anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.conftest import OF_THE_MACHINE
from tests.generators.running_daemon import until
from tests.generators.standby import copy_slot, dsn_of_both, fail_over, standby_of, storing_often
from tests.integration.joined.conftest import Store
from tests.integration.pipeline.test_failover import (
    SLOT,
    Pair,
    only_what_the_standby_has,
    write_what_is_lost,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import StartPostgres
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

VERSION = 17
"""From here on PostgreSQL keeps the stream behind its standbys."""
ITEMS: dict[str, Any] = {
    "items": {
        "from": "item",
        "fields": ["id", "n"],
        "embed": {"alike": {"count": "item", "on": {"n": "n"}}},
    }
}


@pytest.fixture
def pair(
    private_postgres: StartPostgres, start_daemon: StartDaemon, request: pytest.FixtureRequest
) -> Iterator[Pair]:
    """A daemon that has loaded all, and a standby that has a copy of its slot."""
    if request.config.getoption("--postgres") < VERSION:
        pytest.skip(f"{OF_THE_MACHINE}PostgreSQL waits for standbys from 17 on")
    primary = private_postgres()
    with psycopg.connect(primary.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key, n int)")
        connection.execute("insert into item select i, i / 3 from generate_series(1, 2000) i")
    with standby_of(primary) as standby:
        dsn = dsn_of_both(primary, standby)
        source = {"dsn": dsn, "slot": SLOT, "failover": True}
        daemon = start_daemon(ITEMS, start=False, source=source)
        daemon.start(storing_often)
        daemon.wait_until("streaming")
        copy_slot(primary, standby, SLOT)
        daemon.catch_up()
        yield Pair(primary, standby, daemon, dsn, "items-000001")


def test_a_failover_under_load_goes_on_with_the_state(pair: Pair, rest: Rest) -> None:
    """In the same process, by the same index: nothing is loaded, lost, stale or invented."""
    only_what_the_standby_has(pair.primary)
    received = pair.daemon.position("received")
    with writing(pair.dsn):
        until(lambda: pair.daemon.position("received") > received + 50_000, 30, "it is under load")
        fail_over(pair.primary, pair.standby)
        until(lambda: pair.daemon.events("failover_followed"), 60, "it goes on")
        pair.daemon.wait_until("streaming")
    pair.daemon.catch_up()
    assert Store(pair.dsn, rest).assert_equal(pair.daemon) > 1000
    assert not pair.daemon.events("state_lost")
    assert pair.loads() == 1


def test_a_failover_that_lost_what_the_state_has_loads_anew(pair: Pair, rest: Rest) -> None:
    """State and documents show what the new primary has never heard of."""
    write_what_is_lost(pair)
    pair.primary.kill()
    pair.standby.resume()
    fail_over(pair.primary, pair.standby)
    until(lambda: pair.loads() > 1, 60, "it is loaded anew")
    pair.daemon.wait_until("streaming")
    pair.daemon.catch_up()
    assert Store(pair.dsn, rest).assert_equal(pair.daemon) == 2000
    (lost,) = pair.daemon.events("state_lost")
    assert "lost" in lost["reason"]
