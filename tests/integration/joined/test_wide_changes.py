"""Rows that thousands of documents show: these come behind others, and none is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.generators.running_daemon import until
from tests.integration.joined.conftest import HOTELS

if TYPE_CHECKING:
    from cdc_daemon.embedded import PostgresServer
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon

COUNT = 5000
FIRST = (
    "insert into chain select i, 'chain ' || i from generate_series(1, 3) i",
    f"insert into hotel select i, 'hotel ' || i, 1 from generate_series(1, {COUNT}) i",
    f"insert into hotel_tag select i, 7 from generate_series(1, {COUNT}) i",
    "insert into tag values (7, 'pool')",
)
MANY = 60_000
MORE = f"insert into hotel select i, 'hotel ' || i, 1 from generate_series({COUNT + 1}, {MANY}) i"


def test_a_position_is_searchable_when_every_document_shows_it(
    store: Store, start_daemon: StartDaemon
) -> None:
    """Not before the last document of a wide change."""
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    store.execute(*FIRST)
    daemon.catch_up()
    for number in range(3):
        store.execute(f"update chain set name = 'renamed {number}' where id = 1")
        store.execute(f"update tag set name = 'spa {number}' where id = 7")
        store.execute(f"update hotel set chain_id = 2 where id % 100 = {number}")
        daemon.catch_up()
        assert store.assert_equal(daemon) == COUNT


def test_a_wide_change_goes_on_after_a_kill(store: Store, start_daemon: StartDaemon) -> None:
    """With what was pending, and what was not yet."""
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    store.execute(*FIRST)
    daemon.catch_up()
    written = daemon.total("cdc_documents_written_total")
    store.execute("update chain set name = 'renamed' where id = 1")
    until(lambda: daemon.total("cdc_documents_written_total") > written, 30, "some are written")
    daemon.kill()
    store.execute("update hotel set chain_id = 3 where id % 3 = 0", "delete from tag where id = 7")
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert store.assert_equal(daemon) == COUNT


def test_a_wide_change_goes_on_while_the_source_is_away(
    store: Store, start_daemon: StartDaemon, postgres_server: PostgresServer
) -> None:
    """All of its documents are shown before the source is back."""
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    store.execute(*FIRST, MORE)
    daemon.catch_up()
    renamed = {"query": {"match_phrase": {"chain.name": "renamed"}}}

    def count() -> int:
        return int(store.opensearch.post("/hotels/_count", renamed)["count"])

    store.execute("update chain set name = 'renamed' where id = 1")
    until(count, 30, "some are shown", poll_seconds=0.01)
    postgres_server.kill()
    try:
        assert count() < MANY, "it is stopped in the middle"
        until(lambda: count() == MANY, 60, "all are shown")
        assert daemon.status()["state"] == "waiting"
    finally:
        postgres_server.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert store.assert_equal(daemon) == MANY
