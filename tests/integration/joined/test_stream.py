"""Joined read models follow the stream: every document is what SQL says, after each burst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.joined.conftest import HOTELS

if TYPE_CHECKING:
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon

FIRST = (
    "insert into chain select i, 'chain ' || i from generate_series(1, 5) i",
    "insert into hotel select i, 'hotel ' || i, i % 6 from generate_series(1, 300) i",
    "insert into room select i, i % 310, 'kind ' || i % 3, i / 7.0 from generate_series(1, 2000) i",
    "insert into tag select i, 'tag ' || i from generate_series(1, 20) i",
    "insert into hotel_tag select i, i % 19 + 1 from generate_series(1, 300) i",
    "insert into hotel_tag select i, 20 from generate_series(1, 310) i",
)
CHANGES = (
    "update room set hotel_id = hotel_id + 1 where id % 7 = 0",
    "update hotel set chain_id = 2, name = 'moved ' || id where id % 5 = 0",
    "update chain set name = 'renamed' where id in (2, 3)",
    "delete from room where id % 11 = 0",
    "update hotel set id = id + 1000 where id % 10 = 0",
    "update tag set id = id + 100 where id < 5",
    "delete from hotel where id % 13 = 0",
    "truncate hotel_tag",
    "insert into hotel_tag select id, 7 from hotel where id % 2 = 0",
    "delete from chain where id = 3",
)


def test_documents_are_what_sql_says(store: Store, start_daemon: StartDaemon) -> None:
    """Rows that come, change, move, take other keys and go, in transactions of one and of many."""
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    for statement in FIRST:
        store.execute(statement)
    daemon.catch_up()
    assert store.assert_equal(daemon) == 300
    for statement in CHANGES:
        store.execute(statement)
    daemon.catch_up()
    assert store.assert_equal(daemon) > 200
    store.execute(*(f"update room set price = price + 1 where id % 5 = {n}" for n in range(5)))
    daemon.catch_up()
    assert store.assert_equal(daemon) > 200
