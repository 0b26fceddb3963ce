"""Tokens over a failover: good as far as their timeline is the new primary's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests.generators.running_daemon import until
from tests.generators.standby import PHYSICAL_SLOT, fail_over, flushed, wait_replayed
from tests.generators.waits import Asker, committed, wait_path
from tests.integration.pipeline.test_failover import pair, unread  # noqa: F401 - the fixtures

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from tests.integration.pipeline.test_failover import Pair


def test_a_token_is_good_unless_its_commit_was_lost(
    pair: Pair,  # noqa: F811 - the fixture
    opensearch: OpenSearchServer,
) -> None:
    """Whoever waits meanwhile waits on; what the new primary doesn't have is refused."""
    asker = Asker(pair.daemon.file)
    opensearch.pause()
    kept = committed(pair.primary.dsn, "update item set n = -1 where id = 1")
    with psycopg.connect(pair.primary.dsn, autocommit=True) as connection:
        wait_replayed(pair.standby, flushed(connection))
        pair.standby.pause()
        connection.execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots "
            "where slot_name = %s",
            [PHYSICAL_SLOT],
        )
    lost = committed(pair.primary.dsn, "update item set n = -2 where id = 1")
    waiting = asker.open(wait_path(kept, timeout=60))
    until(lambda: pair.daemon.metrics()["cdc_waiters"] == 1, 60, "it waits")
    pair.primary.kill()
    pair.standby.resume()
    fail_over(pair.primary, pair.standby)
    opensearch.resume()
    assert asker.answer(waiting).status == 200
    later = committed(pair.dsn, "update item set n = -3 where id = 1")
    assert later.partition(":")[0] != kept.partition(":")[0]
    until(lambda: asker.ask(later, timeout=50).status == 200, 60, "the new timeline is followed")
    refused = asker.ask(lost, timeout=50)
    assert (refused.status, refused.body["epoch"]) == (409, later.partition(":")[0])
    assert "lost in a failover" in refused.body["error"]
    assert asker.ask(kept, timeout=50).status == 200
