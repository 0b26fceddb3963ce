"""One pipeline into several sinks: OpenSearch, and read tables in PostgreSQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from tests.generators import forked
from tests.generators.read_tables import TableSearch
from tests.generators.running_daemon import lsn, until
from tests.generators.searched import IndexSearch

if TYPE_CHECKING:
    from cdc_daemon.embedded import OpenSearchServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.pipeline.conftest import StartDaemon

HOTEL: dict[str, Any] = {"from": "public.hotel", "fields": ["id", "name"], "freshness": 0}
PROJECTIONS = {"hotels": HOTEL, "hotel_rows": {**HOTEL, "sink": "tables"}}
LOADED = 200


def sinks(database: Database, opensearch: OpenSearchServer) -> dict[str, Any]:
    """Both, the index first."""
    return {
        "search": {"type": "opensearch", "hosts": [opensearch.url]},
        "tables": {"type": "postgres", "dsn": database.dsn},
    }


def shown(database: Database, rest: Rest) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is found in each."""
    indexed, tabled = IndexSearch(rest).hits("hotels"), TableSearch(database.dsn).hits("hotel_rows")
    first, second = ({hit["_id"]: hit["_source"] for hit in some} for some in (indexed, tabled))
    return first, second


def test_while_one_is_away_the_other_goes_on(
    database: Database, start_daemon: StartDaemon, opensearch: OpenSearchServer, rest: Rest
) -> None:
    """Nothing is confirmed beyond the slower one, and a crash meanwhile loses nothing."""
    daemon, tables = _started(database, start_daemon, opensearch), TableSearch(database.dsn)
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        opensearch.pause()
        connection.execute("update hotel set name = 'new'")
        connection.execute("delete from hotel where id = 1")
        changed = "select count(*) from read_models.hotel_rows where name = 'new'"
        until(lambda: tables.rows(changed) == [(LOADED - 1,)], 60, "the tables go on")
        assert daemon.position("durable") < daemon.position("received")
        require_told_apart(daemon)
        daemon.kill()
        opensearch.resume()
        daemon.start()
        daemon.catch_up()
        indexed, tabled = shown(database, rest)
        assert indexed == tabled
        assert {each["name"] for each in tabled.values()} == {"new"}
        assert len(tabled) == LOADED - 1


def require_told_apart(daemon: RunningDaemon) -> None:
    """Status and metrics say which of them the positions wait for."""
    search, tables = (daemon.status()["sinks"][name] for name in ("search", "tables"))
    assert (search["read_models"], tables["read_models"]) == (["hotels"], ["hotel_rows"])
    assert lsn(search["position"]["durable"]) == daemon.position("durable")
    assert lsn(search["position"]["durable"]) < lsn(tables["position"]["durable"])
    assert (search["holds_back"], tables["holds_back"]) == (["indexed", "searchable"], [])
    assert search["queue_bytes"] > tables["queue_bytes"] == 0
    # A stage's delay is known from the first look at the source's clock after it is searched.
    stages = ("indexed", "searchable")
    known = {f'cdc_sink_delay_seconds{{sink="search",stage="{stage}"}}' for stage in stages}
    until(lambda: known <= daemon.metrics().keys(), 10, "its delays are known")
    metrics = daemon.metrics()
    for stage in stages:
        of_search, of_tables = (f'{{sink="{one}",stage="{stage}"}}' for one in ("search", "tables"))
        assert metrics[f"cdc_sink_holds_back{of_search}"] == 1
        assert metrics[f"cdc_sink_holds_back{of_tables}"] == 0
        assert metrics[f"cdc_sink_delay_seconds{of_search}"] > 0
    assert metrics['cdc_sink_queue_bytes{sink="search"}'] > 0
    said = forked.command("status", str(daemon.file)).stdout
    assert "sink          search: " in said
    assert "; holds back what is indexed and searchable" in said
    assert 'cdc_bulk_request_duration_seconds_count{sink="tables"}' in metrics


def test_a_read_model_that_moves_is_loaded_where_it_is_now(
    database: Database, start_daemon: StartDaemon, opensearch: OpenSearchServer, rest: Rest
) -> None:
    """The mapping stays as it is; the others go on with what they have."""
    daemon = _started(database, start_daemon, opensearch)
    daemon.terminate()
    said = json.loads(daemon.file.read_text())
    said["projections"]["hotels"]["sink"] = "tables"
    daemon.file.write_text(json.dumps(said))
    daemon.start()
    daemon.wait_until("streaming")
    daemon.catch_up()
    tables = TableSearch(database.dsn)
    assert len(tables.hits("hotels")) == len(tables.hits("hotel_rows")) == LOADED
    made = [each["index"] for each in daemon.events("generation_created")]
    assert made == ["hotels-000001", "hotel_rows_000001", "hotels_000001"]
    assert rest.get("/hotels/_count")["count"] == LOADED


def _started(
    database: Database, start_daemon: StartDaemon, opensearch: OpenSearchServer
) -> RunningDaemon:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("create table hotel (id int primary key, name text)")
        connection.execute(
            "insert into hotel select i, 'old' from generate_series(1, %s) i", [LOADED]
        )
    daemon = start_daemon(PROJECTIONS, sinks=sinks(database, opensearch))
    daemon.wait_until("streaming")
    daemon.catch_up()
    return daemon
