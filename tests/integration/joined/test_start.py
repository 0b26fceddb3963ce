"""What a start finds of the state decides whether it goes on, or loads everything anew."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators import forked
from tests.generators.running_daemon import until
from tests.integration.joined.conftest import HOTELS

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.joined.conftest import Store
    from tests.integration.pipeline.conftest import StartDaemon

ROWS = (
    "insert into chain select i, 'chain ' || i from generate_series(1, 5) i",
    "insert into hotel select i, 'hotel ' || i, i % 6 from generate_series(1, 200) i",
    "insert into room select i, i % 210, 'kind ' || i % 3, i / 7.0 from generate_series(1, 1000) i",
    "insert into tag select i, 'tag ' || i from generate_series(1, 20) i",
    "insert into hotel_tag select i, i % 19 + 1 from generate_series(1, 200) i",
)
HOTELS_THERE = 200
SLOT_IN_USE, STATE_ERROR = 5, 6
"""Exit codes."""


@pytest.fixture
def daemon(store: Store, start_daemon: StartDaemon) -> RunningDaemon:
    """A daemon that has loaded all rows, and streams."""
    store.execute(*ROWS)
    started = start_daemon(HOTELS)
    settle(started)
    assert store.assert_equal(started) == HOTELS_THERE
    return started


def settle(daemon: RunningDaemon) -> None:
    """Wait until all that is committed is searchable, in the generation that is searched."""
    daemon.wait_until("streaming")
    daemon.catch_up()


def state_of(daemon: RunningDaemon) -> Path:
    """The folder of its state."""
    (found,) = (daemon.file.parent / "data").glob("*.state")
    return found


def change(daemon: RunningDaemon, edit: Any) -> None:
    """Edit its configuration."""
    configuration = json.loads(daemon.file.read_text())
    edit(configuration)
    daemon.file.write_text(json.dumps(configuration))


def loads(daemon: RunningDaemon) -> list[str]:
    """The tables of which rows were read, one after the other."""
    return [event["table"] for event in daemon.events("loading")]


def reasons(daemon: RunningDaemon) -> list[str]:
    """Why generations were made, one after the other."""
    return [event["reason"] for event in daemon.events("new_generation")]


def test_a_killed_daemon_goes_on_with_its_state(store: Store, daemon: RunningDaemon) -> None:
    """However often: nothing is loaded again, and every document is right."""
    loaded = loads(daemon)
    for number in range(4):
        store.execute(f"update room set price = {number}, hotel_id = hotel_id + 1 where id % 3 = 0")
        store.execute(f"update chain set name = 'killed {number}' where id = {number + 1}")
        daemon.kill()
        store.execute(f"delete from room where id % 50 = {number}")
        daemon.start()
        daemon.wait_until("streaming")
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    assert loads(daemon) == loaded
    assert len(reasons(daemon)) == 1


def test_what_the_sink_did_not_get_is_sent_after_a_kill(
    store: Store, daemon: RunningDaemon, opensearch: embedded.OpenSearchServer
) -> None:
    """The state has the change; a start makes its documents again."""
    opensearch.pause()
    store.execute("update room set kind = 'frozen' where id % 2 = 0")
    until(lambda: in_state(daemon) >= end_of(store), 20, "the state has the change")
    daemon.kill()
    opensearch.resume()
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    assert len(reasons(daemon)) == 1


def in_state(daemon: RunningDaemon) -> int:
    """Where the state is, as seen beside the daemon."""
    position = inspected(daemon)["position"]
    high, low = position.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def end_of(store: Store) -> int:
    """Where the source's log is, before which the last commit ends."""
    with psycopg.connect(store.dsn) as connection:
        row = connection.execute("select pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None
    return int(row[0])


def inspected(daemon: RunningDaemon) -> dict[str, Any]:
    """What `cdc-daemon state inspect` says."""
    told = command(daemon, "state", "inspect", "--output", "json")
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def command(daemon: RunningDaemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on its configuration."""
    return forked.command(*arguments[:2], str(daemon.file), *arguments[2:])


def lose_folder(daemon: RunningDaemon) -> None:
    """The disk was another one."""
    shutil.rmtree(state_of(daemon))


def crash_machine(daemon: RunningDaemon) -> None:
    """The machine has gone down under the daemon."""
    mark = state_of(daemon) / "mark.json"
    said = json.loads(mark.read_text())
    mark.write_text(json.dumps({**said, "boot_id": "another", "clean": False}))


def give_up(daemon: RunningDaemon) -> None:
    """A person doesn't trust it."""
    assert command(daemon, "state", "rebuild", "--yes").returncode == 0


def cut(daemon: RunningDaemon) -> None:
    """Only a part of the file is left."""
    with (state_of(daemon) / "data.mdb").open("rb+") as file:
        file.truncate(8192)


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (lose_folder, "its folder was lost"),
        (crash_machine, "the machine went down"),
        (give_up, "a person asked"),
        (cut, "the state's file was cut"),
    ],
)
def test_a_state_that_is_lost_is_loaded_anew(
    store: Store, daemon: RunningDaemon, lose: Any, reason: str
) -> None:
    """Into a new index, while the old one is searched; changes meanwhile are in both."""
    old = set(store.opensearch.get("/_alias/hotels"))
    assert daemon.terminate() == 0
    lose(daemon)
    store.execute("update chain set name = 'while away'", "delete from room where id < 20")
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    (lost,) = daemon.events("state_lost")
    assert reason in lost["reason"]
    assert reasons(daemon)[1:] == [lost["reason"]]
    assert daemon.total("cdc_states_lost_total") == 1
    new = set(store.opensearch.get("/_alias/hotels"))
    assert not old & new
    assert not old & set(store.opensearch.get("/_alias"))


def test_an_older_copy_of_the_state_is_not_gone_on_with(
    store: Store, daemon: RunningDaemon, tmp_path: Path
) -> None:
    """The source has forgotten what has happened since."""
    assert daemon.terminate() == 0
    copy = tmp_path / "copy"
    shutil.copytree(state_of(daemon), copy)
    store.execute("update room set price = 1")
    daemon.start()
    settle(daemon)
    assert daemon.terminate() == 0
    shutil.rmtree(state_of(daemon))
    shutil.copytree(copy, daemon.file.parent / "data" / f"{pipeline(daemon)}.state")
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    (lost,) = daemon.events("state_lost")
    assert "the source has gone on" in lost["reason"]


def pipeline(daemon: RunningDaemon) -> str:
    """The name of its pipeline."""
    return str(json.loads(daemon.file.read_text())["name"])


def test_an_index_that_is_gone_is_written_from_the_state(
    store: Store, daemon: RunningDaemon
) -> None:
    """Nothing of the source is read for it."""
    loaded = loads(daemon)
    assert daemon.terminate() == 0
    (index,) = store.opensearch.get("/_alias/hotels")
    store.opensearch.delete(f"/{index}")
    store.execute("update room set price = 2 where id < 100")
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    assert "is gone" in reasons(daemon)[-1]
    assert loads(daemon) == loaded


def test_a_mapping_that_needs_no_more_is_written_from_the_state(
    store: Store, daemon: RunningDaemon
) -> None:
    """Another `where`, and an embed less."""
    loaded = loads(daemon)
    assert daemon.terminate() == 0
    mapping = deepcopy(HOTELS)
    mapping["hotels"]["where"] = "id % 2 = 0"
    mapping["hotels"]["embed"].pop("tags")
    change(daemon, lambda configuration: configuration.update(projections=mapping))
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE // 2
    assert loads(daemon) == loaded


def test_a_mapping_that_needs_one_more_column_loads_that_table(
    store: Store, daemon: RunningDaemon
) -> None:
    """And only that; a second read model over the same tables shares the state."""
    loaded = loads(daemon)
    assert daemon.terminate() == 0
    mapping = deepcopy(HOTELS)
    mapping["hotels"]["embed"]["chain"]["fields"] = ["id", "name"]
    mapping["hotels"]["embed"]["tags"]["value"] = {"expression": "name || id"}
    mapping["rooms"] = {"from": "room", "fields": ["id", "kind"], "routing": "hotel_id"}
    store.execute("update room set hotel_id = 1 where hotel_id is null")
    store.execute("alter table room alter hotel_id set not null")
    store.execute("alter table tag add rank int default 3")
    mapping["hotels"]["embed"]["tags"]["value"] = {"expression": "name || rank"}
    change(daemon, lambda configuration: configuration.update(projections=mapping))
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE + 1000
    assert loads(daemon)[len(loaded) :] == ["public.tag"]


def test_a_lost_place_in_the_source_loads_everything_anew(
    store: Store, daemon: RunningDaemon
) -> None:
    """The state can't be brought up to date without the changes in between."""
    assert daemon.terminate() == 0
    with psycopg.connect(store.dsn, autocommit=True) as connection:
        slots = "from pg_replication_slots where database = current_database()"
        until(lambda: connection.execute(f"select 1 {slots} and not active").fetchone(), 10, "free")
        connection.execute(f"select pg_drop_replication_slot(slot_name) {slots}")
    store.execute("update room set price = 3")
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    assert "the slot was dropped or lost" in reasons(daemon)[-1]


def test_a_state_is_used_by_one_process(
    store: Store, daemon: RunningDaemon, start_daemon: StartDaemon
) -> None:
    """Another pipeline's folder is another one; commands that write are refused beside a daemon."""
    assert inspected(daemon)["used_by"] == daemon.pid
    for name in ("compact", "rebuild"):
        refused = command(daemon, "state", name, *(["--yes"] if name == "rebuild" else []))
        assert refused.returncode == STATE_ERROR
        assert f"pid {daemon.pid}" in refused.stderr
    where = {"path": str(daemon.file.parent / "data")}
    second = start_daemon(HOTELS, folder="second", state=where, source={"slot_wait": "1s"})
    assert second.wait(60) == SLOT_IN_USE
    store.execute("update room set price = 4")
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    assert daemon.terminate() == 0
    assert command(daemon, "state", "compact").returncode == 0
    daemon.start()
    settle(daemon)
    assert store.assert_equal(daemon) == HOTELS_THERE
    assert len(reasons(daemon)) == 1
