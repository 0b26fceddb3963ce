"""Threads that write the same rows and post them whenever they like, while everything is killed."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators.posting_threads import PostingThreads
from tests.generators.stopped_stream import stream_stopped
from tests.integration.posted.conftest import KEY, TABLE, TAKES_POSTS

if TYPE_CHECKING:
    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

FORGETFUL = {
    "from": "public.hotel",
    "where": "not draft",
    "fields": ["id", "name"],
    "freshness": "200ms",
    "index": {"settings": {"index.gc_deletes": "500ms"}},
}
"""Whose index has forgotten what was deleted before most of the late posts come."""
SLOW_TIMES = 2
SLOW_SECONDS = 0.5


def shown(rest: Rest) -> dict[int, str]:
    """All documents: names by id."""
    rest.post("/hotels/_refresh")
    hits = rest.post("/hotels/_search", {"size": 100})["hits"]["hits"]
    return {hit["_source"]["id"]: hit["_source"]["name"] for hit in hits}


def kept(dsn: str) -> dict[int, str]:
    """What PostgreSQL has of them."""
    with psycopg.connect(dsn) as connection:
        rows: list[Any] = connection.execute(
            "select id, name from hotel where not draft"
        ).fetchall()
    return dict(rows)


def test_every_document_is_its_row_at_the_end(
    database: Database,
    start_daemon: StartDaemon,
    rest: Rest,
    opensearch: embedded.OpenSearchServer,
) -> None:
    """However late and in whatever order it is posted, and whoever dies meanwhile."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(TABLE)
    daemon = start_daemon({"hotels": FORGETFUL}, web=TAKES_POSTS)
    daemon.wait_until()
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - to repeat it
    threads = PostingThreads(database.dsn, daemon.url, KEY, writers=4, seed=seed)
    threads.start()
    try:
        go_slow(database.dsn)
        daemon.kill()
        daemon.start()
        daemon.wait_until()
        go_slow(database.dsn)
        opensearch.kill()
        opensearch.start()
        go_slow(database.dsn)
    finally:
        threads.stop()
    daemon.catch_up()
    assert shown(rest) == kept(database.dsn)
    print(threads.outcomes)  # noqa: T201 - what was tried
    assert {"written", "superseded"} <= threads.outcomes.keys()


def go_slow(dsn: str) -> None:
    """Posts are faster than the stream for a while, and then they aren't."""
    for _ in range(SLOW_TIMES):
        with stream_stopped(dsn):
            time.sleep(SLOW_SECONDS)
        time.sleep(SLOW_SECONDS)
