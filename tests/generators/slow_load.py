"""A table, and a load of it that is slow enough for things to happen meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.generators.running_daemon import RunningDaemon

ROWS = 6_000
EVERY_LARGE = 20
SLOWLY: dict[str, Any] = {"chunk": "50kB", "rows_per_second": 1_200}
LARGE = "(select string_agg(md5(i::text || x), '') from generate_series(1, 200) x)"
ITEMS: dict[str, Any] = {
    "items": {
        "from": "item",
        "fields": {"id": None, "n": None, "note": None, "body": None},
        "freshness": "20ms",
    }
}
EXPECTED = {
    "items": "select id::text, jsonb_build_object('id', id, 'n', n, 'note', note, 'body', body)"
    " from item"
}
CREATE = "create table item (id int primary key, n int, note text, body text)"
FILL = (
    f"insert into item select i, i, repeat('x', 60), case when i % {EVERY_LARGE} = 0 then {LARGE}"
    " end from generate_series(%s::int, %s::int) i"
).replace(" % ", " %% ")


def rows_loaded(daemon: RunningDaemon) -> int:
    """How many rows of unfinished loads are durable."""
    loads = daemon.status().get("backfill", {}).get("loads", [])
    return sum(int(load["rows"]) for load in loads)
