"""What may happen to a daemon, its state, or its servers: documents are exact afterwards.

Either it goes on with the state, or it says why not, and builds all joined read models anew beside
those that are searched.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.state import folder_of
from tests.conftest import OF_THE_MACHINE
from tests.generators.budget import seeded
from tests.generators.dying_daemon import MOMENTS, dying
from tests.generators.history import Load
from tests.generators.hotels import PROJECTIONS, WRITING, Hotels, fill
from tests.generators.running_daemon import until
from tests.generators.searched import hits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cdc_daemon.embedded import OpenSearchServer, PostgresServer
    from tests.conftest import Database
    from tests.generators.rest import Rest
    from tests.integration.pipeline.conftest import StartDaemon

JOINED = sorted(PROJECTIONS.keys() - {"amenities"})
DIES_WITHIN_SECONDS = 90.0
MEANWHILE = (
    "delete from room where no % 3 = 0",
    "update hotel set chain_id = 1, name = name || '!' where id % 4 = 0",
    "update chain set id = id + 50 where id = 2",
    "insert into review select i, i % 42, 5, 'more' from generate_series(1000, 1050) i",
    "delete from hotel where id % 7 = 0",
)


@pytest.fixture
def hotels(database: Database, start_daemon: StartDaemon, rest: Rest) -> Hotels:
    """Rows that are there, and a daemon that isn't started yet."""
    fill(database.dsn)
    return Hotels(start_daemon(PROJECTIONS, start=False), rest, database.dsn)


def folder(hotels: Hotels) -> Path:
    """Where its state is."""
    said = configuration(hotels)
    return folder_of(hotels.daemon.file.parent / "data", said["name"])


def configuration(hotels: Hotels) -> Any:
    """What it says."""
    return json.loads(hotels.daemon.file.read_text())


def write(hotels: Hotels) -> Load:
    """Sessions that write into all tables."""
    seed, _ = seeded()
    print(f"seed {seed}")  # noqa: T201 - to replay a failure
    return Load(hotels.dsn, seed, pause_seconds=0.1, plan=WRITING)


def made(hotels: Hotels) -> list[str]:
    """The read models that generations were made for, in order."""
    return [event["projection"] for event in hotels.daemon.events("new_generation")]


def reasons(hotels: Hotels) -> list[str]:
    """Why its state was given up."""
    return [event["reason"] for event in hotels.daemon.events("state_lost")]


FOLLOWING = ("transaction read", "applied", "assembled", "sent", "synced", "checkpoint stored")
EACH_SECOND = ("synced", "checkpoint stored")
"""They come once a second, the others with each transaction."""


@pytest.mark.parametrize("moment", FOLLOWING)
def test_killed_while_it_follows(hotels: Hotels, moment: str) -> None:
    """It goes on with its state each time: nothing is lost, nothing is loaded again."""
    hotels.daemon.start()
    hotels.exact()
    hotels.daemon.kill()
    with write(hotels):
        for times in (1, 2, 4) if moment in EACH_SECOND else (1, 4, 15):
            hotels.daemon.start(dying(moment, times))
            assert hotels.daemon.wait(DIES_WITHIN_SECONDS) == -signal.SIGKILL
        hotels.daemon.start()
        hotels.daemon.wait_until("streaming")
    assert hotels.exact()
    assert not reasons(hotels)
    assert len(made(hotels)) == len(PROJECTIONS)


@pytest.mark.parametrize("moment", sorted(MOMENTS.keys() - set(FOLLOWING)))
def test_killed_while_it_loads(hotels: Hotels, moment: str) -> None:
    """It goes on with what is loaded, again and again."""
    with write(hotels):
        for times in (1, 2, 3):
            hotels.daemon.start(dying(moment, times))
            until(lambda: not hotels.daemon.is_running or is_streaming(hotels), 90, "it dies")
            hotels.daemon.close()
        hotels.daemon.start()
        hotels.daemon.wait_until("streaming")
    assert hotels.exact()
    assert not reasons(hotels)


def is_streaming(hotels: Hotels) -> bool:
    """Whether all is loaded."""
    return bool(hotels.daemon.status().get("state") == "streaming")


def lose(state: Path) -> None:
    """The folder is gone."""
    shutil.rmtree(state)


def cut(state: Path) -> None:
    """The file ends where it didn't end."""
    data = state / "data.mdb"
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size // 2)


def damage(state: Path) -> None:
    """The file holds something else behind its head."""
    data = state / "data.mdb"
    size = data.stat().st_size
    with data.open("r+b") as file:
        file.seek(8192)
        file.write(bytes(size - 8192))


def restart_machine(state: Path) -> None:
    """The machine went down while the state was open, as far as the mark can tell."""
    mark = json.loads((state / "mark.json").read_text())
    (state / "mark.json").write_text(json.dumps({**mark, "boot_id": "another"}))


HARMS: dict[Callable[[Path], None], str] = {
    lose: "folder was lost",
    cut: "was cut",
    damage: "is damaged",
    restart_machine: "the machine went down",
}


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_state_that_is_no_good_is_built_anew(
    hotels: Hotels, harm: Callable[[Path], None]
) -> None:
    """It says why; what is searched stays until the new one is there, and that is exact."""
    hotels.daemon.start()
    hotels.exact()
    wait_until_kept(hotels)
    hotels.daemon.kill()
    harm(folder(hotels))
    hotels.commit(*MEANWHILE)
    before = {name: hits(hotels.rest, name) for name in JOINED}
    with write(hotels):
        hotels.daemon.start()
        until(lambda: reasons(hotels), 30, "it says so")
        assert before.keys() == {name for name in JOINED if hits(hotels.rest, name)}
        hotels.daemon.wait_until("streaming")
    assert hotels.exact()
    assert HARMS[harm] in reasons(hotels)[0]
    assert len(reasons(hotels)) == 1
    assert sorted(made(hotels)[len(PROJECTIONS) :]) == JOINED, "the flat one goes on"


def test_a_folder_that_is_lost_while_the_daemon_runs(hotels: Hotels) -> None:
    """It stops and says so, in no traceback; the next start builds it anew."""
    hotels.daemon.start()
    hotels.exact()
    lose(folder(hotels))
    hotels.commit("update room set kind = 'lost'")
    assert hotels.daemon.wait(60) == 6
    assert "was taken away while it is used" in hotels.daemon.said()
    assert "Traceback" not in hotels.daemon.said()
    hotels.daemon.start()
    hotels.exact()
    assert len(reasons(hotels)) == 1
    assert "folder was lost" in reasons(hotels)[0]


def test_a_state_that_was_closed_outlives_its_machine(hotels: Hotels) -> None:
    """A clean stop has brought all of it to disk, so another boot is no matter."""
    hotels.daemon.start()
    hotels.exact()
    assert hotels.daemon.terminate() == 0
    restart_machine(folder(hotels))
    hotels.commit(*MEANWHILE)
    hotels.daemon.start()
    assert hotels.exact()
    assert not reasons(hotels)


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
def test_an_old_copy_of_the_state_is_not_trusted(hotels: Hotels, *, clean: bool) -> None:
    """The source has forgotten what lies between it and now: so it is built anew."""
    hotels.daemon.start()
    hotels.exact()
    hotels.daemon.terminate()
    copy = folder(hotels).with_suffix(".copy")
    shutil.copytree(folder(hotels), copy)
    hotels.daemon.start()
    hotels.commit(*MEANWHILE)
    hotels.exact()
    if clean:
        hotels.daemon.terminate()
    else:
        wait_until_kept(hotels)
        hotels.daemon.kill()
    shutil.rmtree(folder(hotels))
    copy.rename(folder(hotels))
    hotels.daemon.start()
    assert hotels.exact()
    assert len(reasons(hotels)) == 1
    assert sorted(made(hotels)[len(PROJECTIONS) :]) == JOINED


def wait_until_kept(hotels: Hotels) -> None:
    """Wait until the checkpoint is where searches are, and the source forgets what was before.

    While nothing is written that takes ten seconds.
    """
    searchable = hotels.daemon.position("searchable")
    hotels.commit("update chain set name = name")
    until(lambda: hotels.daemon.position("checkpoint") > searchable, 30, "all of it is on disk")


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_an_index_is_deleted(hotels: Hotels, *, running: bool) -> None:
    """Its read model is written anew from the state; the others go on."""
    hotels.daemon.start()
    hotels.exact()
    (index,) = hotels.rest.get("/_alias/hotels")
    if not running:
        hotels.daemon.terminate()
    hotels.rest.delete(f"/{index}")
    hotels.commit(*MEANWHILE)
    if running:
        assert hotels.daemon.wait(60) != 0, "it doesn't write into nothing"
    hotels.daemon.start()
    assert hotels.exact()
    assert not reasons(hotels)
    assert made(hotels)[len(PROJECTIONS) :] == ["hotels"]


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_the_slot_is_dropped(hotels: Hotels, *, running: bool) -> None:
    """Changes are missing, so everything is built anew, in the same process if there is one."""
    hotels.daemon.start()
    hotels.exact()
    if running:
        hotels.daemon.signal(signal.SIGSTOP)
    else:
        hotels.daemon.kill()
    hotels.commit(*MEANWHILE)
    drop_slot(hotels.dsn)
    if running:
        hotels.daemon.signal(signal.SIGCONT)
    else:
        hotels.daemon.start()
    until(lambda: len(made(hotels)) == 2 * len(PROJECTIONS), 60, "all is built anew")
    assert hotels.exact()


def drop_slot(dsn: str) -> None:
    """Whoever uses it."""
    slots = "from pg_replication_slots where database = current_database()"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"select pg_terminate_backend(active_pid) {slots} and active")
        until(
            lambda: connection.execute(f"select {slots} and active").fetchone() is None,
            10,
            "the slot is free",
        )
        connection.execute(f"select pg_drop_replication_slot(slot_name) {slots}")


@pytest.mark.parametrize("which", ["postgres", "opensearch"])
def test_a_server_is_away(
    hotels: Hotels, postgres_server: PostgresServer, opensearch: OpenSearchServer, which: str
) -> None:
    """Killed under load, and back after a while: the same daemon goes on."""
    server = postgres_server if which == "postgres" else opensearch
    hotels.daemon.start()
    hotels.exact()
    with write(hotels):
        time.sleep(0.5)
        server.kill()
        time.sleep(1)
        server.start()
        time.sleep(0.5)
    assert hotels.exact()
    assert not reasons(hotels)
    assert len(made(hotels)) == len(PROJECTIONS)
    assert len(hotels.daemon.events("starting")) == 1


MANY_ROOMS = (
    "insert into room select i % 40, i, 'kind', 1, repeat(md5(i::text), 160)"
    " from generate_series(10000, 15000) i"
)


def test_a_state_that_may_not_grow_stops_the_daemon(hotels: Hotels) -> None:
    """It says which setting to raise, and goes on once that is done."""
    said = configuration(hotels)
    said["state"]["max_size"] = "8MB"
    hotels.daemon.file.write_text(json.dumps(said))
    hotels.daemon.start()
    hotels.exact()
    hotels.commit(MANY_ROOMS)
    assert hotels.daemon.wait(60) not in {0, -signal.SIGKILL}
    assert "Raise state.max_size" in hotels.daemon.said()
    said["state"]["max_size"] = "1GB"
    hotels.daemon.file.write_text(json.dumps(said))
    hotels.daemon.start()
    assert hotels.exact() > 5_000
    assert not reasons(hotels)


@contextmanager
def disk(place: Path, megabytes: int) -> Iterator[None]:
    """A small disk of its own."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip(f"{OF_THE_MACHINE}nobody may mount a disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_daemon(hotels: Hotels) -> None:
    """It says so, and goes on once there is room."""
    place = hotels.daemon.file.parent / "data"
    with disk(place, megabytes=16):
        hotels.daemon.start()
        hotels.exact()
        hotels.commit(MANY_ROOMS)
        assert hotels.daemon.wait(60) not in {0, -signal.SIGKILL}
        assert re.search("there is no room on the disk|No space left", hotels.daemon.said())
        subprocess.run(["mount", "-o", "remount,size=500m", str(place)], check=True)
        hotels.daemon.start()
        assert hotels.exact() > 5_000
        assert not reasons(hotels)
        hotels.daemon.terminate()
