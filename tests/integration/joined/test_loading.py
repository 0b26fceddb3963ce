"""Rows that were there before the daemon: loaded into the state beside writers, then written."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.generators.budget import rounds, seeded
from tests.generators.controlled_daemon import ControlledDaemon
from tests.generators.hotel_writers import HotelWriters
from tests.generators.running_daemon import until
from tests.integration.joined.conftest import HOTELS
from tests.integration.joined.test_stream import FIRST
from tests.integration.pipeline.test_repair import spoil

if TYPE_CHECKING:
    import pytest

    from cdc_daemon.embedded import PostgresServer
    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon

SLOWLY: dict[str, Any] = {"chunk": "20kB", "rows_per_second": 1_500}
"""About two seconds for all tables."""
SLOWLIER: dict[str, Any] = {"chunk": "8kB", "rows_per_second": 500}
"""Long enough for a kill in the middle, also of a machine that polls slowly."""
MANY = "insert into hotel select i, 'more' from generate_series(1000, 30000) i"


def under_way(daemon: RunningDaemon) -> set[tuple[str, str]]:
    """What is being loaded or written: its table, and what it does."""
    loads = daemon.status().get("backfill", {}).get("loads", [])
    return {(load["table"], load["phase"]) for load in loads}


def has_read_some(daemon: RunningDaemon) -> bool:
    """Whether a table is read in part: a kill now leaves something to go on with."""
    loads = daemon.status().get("backfill", {}).get("loads", [])
    return any(load["rows"] for load in loads)


def is_streaming(daemon: RunningDaemon) -> bool:
    """Whether all is there."""
    return bool(daemon.status().get("state") == "streaming")


def loaded_since(daemon: RunningDaemon, starts: int) -> list[str]:
    """The tables of which rows were read after so many starts."""
    found: list[str] = []
    for event in daemon.logged():
        starts -= event["event"] == "starting"
        if starts < 0 and event["event"] == "loading":
            found.append(event["table"])
    return found


def change(daemon: RunningDaemon, **projections: Any) -> None:
    """Other mappings, from the next start on."""
    configuration = json.loads(daemon.file.read_text())
    configuration["projections"] |= projections
    daemon.file.write_text(json.dumps(configuration))


def test_rows_that_are_there_are_loaded(store: Store, start_daemon: StartDaemon) -> None:
    """Each document is written once, and shown when all are."""
    store.execute(*FIRST)
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    assert store.assert_equal(daemon) == 300
    loaded = {event["table"]: event["rows"] for event in daemon.events("rows_kept")}
    assert loaded.keys() == {
        f"public.{name}" for name in ("chain", "hotel", "room", "tag", "hotel_tag")
    }
    assert loaded["public.room"] == 2000
    assert daemon.total("cdc_documents_written_total") == 300


def test_kills_while_rows_are_loaded_and_documents_written(
    store: Store, start_daemon: StartDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed at random under writers, it goes on where it was; every document is what SQL says."""
    seed, rng = seeded()
    kills = compared = lost = 0
    store.execute(*FIRST)
    daemon = start_daemon(HOTELS, start=False, backfill=SLOWLIER)
    for number in rounds(2):
        with HotelWriters(store.dsn, seed + number, truncating=number % 2 == 1):
            daemon.start()
            until(lambda: has_read_some(daemon) or is_streaming(daemon), 60, "it loads", 0.02)
            for longest in (0.5, 2, 2):
                until(lambda: under_way(daemon) or is_streaming(daemon), 60, "it loads")
                time.sleep(rng.uniform(0, longest))
                daemon.kill()
                kills += 1
                daemon.start()
            daemon.wait_until("streaming", 120)
        daemon.catch_up(90)
        compared += store.assert_equal(daemon)
        assert daemon.terminate() == 0
        lost += number % 2 == 0
        anew(daemon, lose_state=number % 2 == 0)
    resumed = [event for event in daemon.events("loading") if event["rows_before"]]
    assert resumed
    assert lost - 1 <= len(daemon.events("state_lost")) <= lost
    with capsys.disabled():
        print(  # noqa: T201 - property tests say what they did
            f"\n[seed {seed}: {kills} kills while loading, {compared} documents compared]",
            file=sys.stderr,
        )


def anew(daemon: RunningDaemon, *, lose_state: bool) -> None:
    """The next start loads everything, or only writes a generation: by another mapping."""
    refresh = f"{7 + len(daemon.events('starting'))}s"
    change(
        daemon, hotels={**HOTELS["hotels"], "index": {"settings": {"refresh_interval": refresh}}}
    )
    if lose_state:
        for file in (daemon.file.parent / "data").glob("*.state/*"):
            file.unlink()


def test_a_kill_while_documents_are_written(store: Store, start_daemon: StartDaemon) -> None:
    """No row is read again; writing begins anew."""
    store.execute(*FIRST, MANY)
    daemon = start_daemon(HOTELS)
    until(lambda: ("public.hotel", "writing") in under_way(daemon), 60, "it writes", 0.005)
    daemon.kill()
    daemon.start()
    daemon.wait_until("streaming")
    assert store.assert_equal(daemon) == 29_301
    assert len(daemon.events("loading")) == 5


def test_a_generation_is_written_while_the_source_is_away(
    store: Store, start_daemon: StartDaemon, postgres_server: PostgresServer
) -> None:
    """Another mapping over the same rows reads none of them again, and needs no source."""
    store.execute(*FIRST, MANY)
    daemon = start_daemon(HOTELS)
    daemon.wait_until("streaming")
    assert daemon.terminate() == 0
    settings = {"index": {"settings": {"refresh_interval": "7s"}}}
    change(daemon, hotels={**HOTELS["hotels"], **settings})
    daemon.start()
    until(lambda: ("public.hotel", "writing") in under_way(daemon), 60, "it writes", 0.005)
    postgres_server.stop()
    try:
        until(lambda: len(daemon.events("published")) >= 2, 90, "the generation is shown")
        assert not is_streaming(daemon)
    finally:
        postgres_server.start()
    daemon.wait_until("streaming")
    assert loaded_since(daemon, 1) == []
    assert store.assert_equal(daemon) == 29_301


def test_one_more_column_loads_just_its_table(store: Store, start_daemon: StartDaemon) -> None:
    """One more aggregate loads nothing; read models of other tables go on as they are."""
    store.execute(*FIRST)
    many: dict[str, Any] = {"many": "room", "on": {"hotel_id": "id"}}
    rooms: dict[str, Any] = {"from": "hotel", "fields": ["id"], "embed": {}}
    hotels = {"many": "hotel", "on": {"chain_id": "id"}, "fields": ["id", "name"]}
    chains = {"from": "chain", "fields": ["id", "name"], "embed": {"hotels": hotels}}
    rooms["embed"]["rooms"] = {**many, "fields": ["id", "price"]}
    daemon = start_daemon({"rooms": rooms, "chains": chains})
    daemon.wait_until("streaming")
    for added, tables in (
        ({"rooms": {**many, "fields": ["id", "price", "kind"]}}, ["public.room"]),
        ({"total": {"sum": "room", "on": {"hotel_id": "id"}, "value": "price"}}, []),
    ):
        assert daemon.terminate() == 0
        starts = len(daemon.events("starting"))
        rooms["embed"] |= added
        change(daemon, rooms=rooms)
        daemon.start()
        daemon.wait_until("streaming")
        assert loaded_since(daemon, starts) == tables
        store.execute("update room set price = price + 1 where id % 3 = 0")
        daemon.catch_up()
        assert store.assert_equal(daemon) == 305
    generations = [event["projection"] for event in daemon.events("new_generation")]
    assert sorted(generations) == ["chains", "rooms", "rooms", "rooms"]


def test_a_value_that_was_left_out_is_read_by_its_key(
    store: Store, start_daemon: StartDaemon
) -> None:
    """Of a row that moved from a block that wasn't read yet into one that was."""
    store.execute(*FIRST, "alter table hotel alter notes set storage external")
    store.execute("update hotel set notes = repeat('n' || id, 3000), name = repeat('h', 100)")
    store.run_alone("vacuum full hotel")
    daemon = start_daemon(HOTELS, backfill={"chunk": "8kB", "rows_per_second": 60, "workers": 1})
    until(lambda: "hotel" in str(under_way(daemon)) and rows_of(daemon, "hotel") > 60, 60, "rows")
    store.execute("delete from hotel where id <= 40")
    store.run_alone("vacuum hotel")
    store.execute("update hotel set name = name || 'x' where id > 285")
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert daemon.events("values_lacking")
    assert store.assert_equal(daemon) == 260


def rows_of(daemon: RunningDaemon, table: str) -> int:
    """How many rows of a table are in the state."""
    loads = daemon.status().get("backfill", {}).get("loads", [])
    return sum(load["rows"] for load in loads if load["table"] == f"public.{table}")


def test_truncate_while_rows_are_loaded(store: Store, start_daemon: StartDaemon) -> None:
    """What was read before is gone, what was inserted after is there."""
    store.execute(*FIRST)
    daemon = start_daemon(HOTELS, backfill=SLOWLY)
    until(lambda: rows_of(daemon, "room") > 300, 60, "some rows are loaded")
    store.execute(
        "truncate room", "insert into room select i, i, 'new', i from generate_series(1, 9) i"
    )
    daemon.wait_until("streaming")
    daemon.catch_up()
    assert store.assert_equal(daemon) == 300


def test_it_ends_when_all_is_written(store: Store, start_daemon: StartDaemon) -> None:
    """`backfill.mode: only`: for a job that fills an index once."""
    store.execute(*FIRST)
    daemon = start_daemon(HOTELS, backfill={"mode": "only"})
    assert daemon.wait(60) == 0
    assert store.assert_equal(daemon) == 300


def test_without_a_load_there_is_no_joined_read_model(
    store: Store, start_daemon: StartDaemon
) -> None:
    """`backfill.mode: never` is refused while rows are missing."""
    store.execute(*FIRST)
    daemon = start_daemon(HOTELS, backfill={"mode": "never"})
    assert daemon.wait(60) != 0
    assert "a joined read model needs every row of its tables" in daemon.said()


def test_documents_are_written_again_when_asked(
    store: Store, start_daemon: StartDaemon, rest: Rest
) -> None:
    """What somebody spoiled behind the daemon's back is right, or gone; no row is read again."""
    store.execute(*FIRST, MANY)
    daemon = ControlledDaemon(start_daemon(HOTELS, start=False))
    daemon.load()
    assert spoil(rest, "hotels") > 50
    daemon.start(projection="hotels")
    assert all(load["repairs"] for load in daemon.loads())
    daemon.running.kill()
    daemon.running.start()
    with HotelWriters(store.dsn, 7):
        until(daemon.done, 60, "all is repaired")
    daemon.running.catch_up()
    assert store.assert_equal(daemon.running) > 29_000
    assert loaded_since(daemon.running, 1) == []
    for wish, why in (
        ({"projection": "hotels", "where": "id = 1"}, "no condition chooses"),
        ({"table": "public.room"}, "only joined read models"),
    ):
        status, answer = daemon.ask("start", **wish)
        assert (status, why in answer["error"]) == (409, True)


def test_what_belongs_to_no_row_goes_from_every_shard(
    store: Store, start_daemon: StartDaemon, rest: Rest
) -> None:
    """A repair finds it where its routing has put it."""
    store.execute("insert into room select i, i % 7, 'kind' from generate_series(1, 200) i")
    rooms = {
        "from": "room",
        "fields": ["id", "kind"],
        "routing": "hotel_id",
        "embed": {"hotel": {"one": "hotel", "on": {"id": "hotel_id"}, "fields": ["name"]}},
        "index": {"settings": {"number_of_shards": 3}},
    }
    store.execute("alter table room alter hotel_id set not null")
    daemon = ControlledDaemon(start_daemon({"rooms": rooms}, start=False))
    daemon.load()
    for stray in range(50):
        rest.put(f"/rooms-000001/_doc/stray-{stray}?routing={stray % 7}", {})
    daemon.start(projection="rooms")
    until(daemon.done, 60, "all is repaired")
    daemon.running.catch_up()
    assert store.assert_equal(daemon.running) == 200
