"""The folder of a state: taken, trusted or not, looked at, compacted, given up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc_daemon.errors import StateError
from cdc_daemon.events import (
    Change,
    ChangeKind,
    Position,
)
from cdc_daemon.state import (
    GoOn,
    Home,
    Rebuild,
    Wanted,
    environment,
    offline,
    opening,
)
from cdc_daemon.state.mark import MARK, read_mark, write_mark
from cdc_daemon.state.offline import compact, inspect, rebuild
from cdc_daemon.state.schema import Schema
from tests.generators.states import (
    BY_CITY,
    HOTEL,
    apply,
    found_store,
    here,
    hotels,
    insert,
    kill,
    new_store,
    rows,
)

ROOT = Path(__file__).parents[3]


def decision(folder: Path, *arguments: Any, **options: Any) -> GoOn | Rebuild:
    """What a start decides; what it opens is closed again."""
    home = Home(folder)
    store, decided = home.find(here(*arguments, **options), str)
    if store is not None:
        store.close()
    home.close()
    return decided


def test_a_state_goes_on_where_it_was_closed(tmp_path: Path) -> None:
    """Rows, position, and the progress of a load are there."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        apply(store, tmp_path, 7, insert(b"1", b'"a"', b'"x"'))
        store.write(lambda batch: batch.load(store.tables[HOTEL], (), b"half"))
        state_id = store.id
    assert decision(tmp_path, state_id, 5, 6) == GoOn(Position(6), Position(7))
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((HOTEL,)))
        assert list(rows(store).values()) == [[b"1", b'"a"', b'"x"']]
        assert store.read(lambda batch: batch.progress) == b"half"


def test_an_unclean_state_is_trusted_until_the_machine_went_down(tmp_path: Path) -> None:
    """After a kill it goes on; after a reboot it isn't even opened."""
    home = Home(tmp_path)
    store = home.create(here())
    store.fit(Wanted((HOTEL,)))
    apply(store, tmp_path, 7, *hotels(0, 50))
    kill(store)
    home.close()
    found = decision(tmp_path, boot="another boot")
    assert isinstance(found, Rebuild)
    assert "the machine went down" in found.reason
    with found_store(tmp_path) as again:
        again.fit(Wanted((HOTEL,)))
        assert len(rows(again)) == 50


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    """A second process is told which one it is."""
    with new_store(tmp_path), pytest.raises(StateError, match=r"another process \(pid \d+\)"):
        Home(tmp_path)


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    """The error says which key of the configuration names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"state\.path"):
        Home(tmp_path / "file" / "state")


def damage_head(folder: Path) -> None:
    """What LMDB finds first is not its own."""
    with (folder / "data.mdb").open("r+b") as file:
        file.write(b"x" * 8192)


def cut(folder: Path) -> None:
    """The end of the file is gone."""
    data = folder / "data.mdb"
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size // 2)


def exchange(folder: Path) -> None:
    """The file of another state is in its place."""
    with new_store(folder / "other"):
        pass
    shutil.copy(folder / "other" / "data.mdb", folder / "data.mdb")
    mark = read_mark(folder)
    assert mark is not None
    write_mark(folder, replace(mark, file_bytes=0))


def lose(folder: Path) -> None:
    """The file is gone."""
    (folder / "data.mdb").unlink()


@pytest.mark.parametrize("harm", [damage_head, cut, exchange, lose])
def test_a_damaged_state_is_loaded_anew(tmp_path: Path, harm: Any) -> None:
    """And made anew in place of what is there."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        apply(store, tmp_path, 7, *hotels(0, 500))
    harm(tmp_path)
    assert isinstance(decision(tmp_path), Rebuild)
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        assert store.schema.to_load == ["public.hotel"]
        assert rows(store) == {}


def test_a_state_that_was_cut_after_a_kill_is_not_opened(tmp_path: Path) -> None:
    """Its file has grown since it was made: the mark says how long it was at a sync."""
    home = Home(tmp_path)
    store = home.create(here())
    store.fit(Wanted((HOTEL,)))
    apply(store, tmp_path, 7, *hotels(0, 5000))
    store.sync()
    kill(store)
    home.close()
    cut(tmp_path)
    found = decision(tmp_path)
    assert isinstance(found, Rebuild)
    assert "was cut" in found.reason


def test_a_state_is_inspected_beside_the_daemon(tmp_path: Path) -> None:
    """Tables, indexes, pending documents and position, as of the last transaction."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,), projections=("hotels",)))
        apply(store, tmp_path, 9, *hotels(0, 10))
        number = store.schema.projections["hotels"]
        store.write(lambda batch: batch.pending.mark(number, b'"1"', b"k", Position(9)))
        code = (
            "import sys; from pathlib import Path; from cdc_daemon.state.offline import inspect\n"
        )
        code += "found = inspect(Path(sys.argv[1])); print(found.used_by, found.position, "
        code += "found.pending, [(t.table, t.index, t.entries) for t in found.trees])"
        command = [sys.executable, "-c", code, str(tmp_path)]
        seen = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    pid, rest = seen.stdout.split(maxsplit=1)
    assert int(pid) > 0
    expected = "9 (('hotels', 1),) [('public.hotel', '', 10), ('public.hotel', 'city', 10)]\n"
    assert rest == expected


def test_who_can_not_say_what_he_reads_does_not_look_beside_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account that may not write the folder: its readers would be in no lock file. Once nobody
    writes any longer it may look.
    """  # noqa: D205 - one sentence
    monkeypatch.setattr(offline, "may_lock", lambda _: False)
    monkeypatch.setattr(environment, "may_lock", lambda _: False)
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        with pytest.raises(StateError, match=r"used by another .* this account may not write"):
            inspect(tmp_path)
        with (
            pytest.raises(StateError, match="this account may not write"),
            offline.viewed(tmp_path, Wanted((HOTEL,))),
        ):
            pass
        with pytest.raises(StateError, match="this account may not write"):
            offline.foreseen(tmp_path, here(), str)
    assert [tree.table for tree in inspect(tmp_path).trees] == ["public.hotel"]


class KilledError(Exception):
    """Stands for the end of the process."""


def test_a_start_that_is_killed_after_its_mark_leaves_a_state_that_can_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is empty, and the next start goes on with it; commands say no more than that."""

    def killed(_folder: Path, env: environment.Environment, _mark: object) -> None:
        env.close()
        raise KilledError

    home = Home(tmp_path)
    monkeypatch.setattr(opening, "Store", killed)
    with pytest.raises(KilledError):
        home.create(here())
    home.close()
    assert offline.foreseen(tmp_path, here(), str) == (None, Schema())
    with (
        pytest.raises(StateError, match="not all that this configuration reads is there yet"),
        offline.viewed(tmp_path, Wanted((HOTEL,))),
    ):
        pass
    assert inspect(tmp_path).trees == ()


def test_a_compacted_state_is_the_same_in_less_room(tmp_path: Path) -> None:
    """And not touched while a process has it."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        apply(store, tmp_path, 1, *hotels(0, 5000))
        apply(store, tmp_path, 2, Change(HOTEL, ChangeKind.TRUNCATE), *hotels(0, 10))
        with pytest.raises(StateError, match="another process"):
            compact(tmp_path)
        state_id = store.id
    before, after = compact(tmp_path)
    assert after < before / 5
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((HOTEL,)))
        assert len(rows(store)) == 10


def test_a_state_is_given_up_where_nothing_can_be_written(tmp_path: Path) -> None:
    """As on a full disk: what can't be said by the mark is said by there being none."""
    with new_store(tmp_path) as store:
        (tmp_path / f"{MARK}.new").mkdir()
        store.give_up("it could not be synced")
    (tmp_path / f"{MARK}.new").rmdir()
    assert isinstance(decision(tmp_path), Rebuild)


def test_a_state_that_is_given_up_is_loaded_anew(tmp_path: Path) -> None:
    """With the reason; nothing of it is opened."""
    with new_store(tmp_path):
        pass
    rebuild(tmp_path)
    found = decision(tmp_path)
    assert isinstance(found, Rebuild)
    assert "a person asked" in found.reason
    assert "a person asked" in inspect(tmp_path).lost
    with pytest.raises(StateError, match="loads it anew"):
        compact(tmp_path)


def test_a_state_of_another_version_is_loaded_anew(tmp_path: Path) -> None:
    """Whatever its mark says besides."""
    with new_store(tmp_path):
        pass
    (tmp_path / "mark.json").write_text('{"format": 99, "new": 1}')
    found = decision(tmp_path)
    assert isinstance(found, Rebuild)
    assert "another version (format 99" in found.reason


def test_damage_that_is_met_while_it_is_open_is_not_met_twice(tmp_path: Path) -> None:
    """The daemon stops, and the next start doesn't open it."""
    home = Home(tmp_path)
    store = home.create(here())
    store.fit(Wanted((HOTEL,)))
    apply(store, tmp_path, 1, *hotels(0, 5000))
    size = (tmp_path / "data.mdb").stat().st_size
    with (tmp_path / "data.mdb").open("r+b") as file:
        file.seek(8192)
        file.write(bytes(size - 8192))
    with pytest.raises(StateError, match="is damaged"):
        rows(store)
    store.close()
    home.close()
    found = decision(tmp_path)
    assert isinstance(found, Rebuild)
    assert "the state is damaged" in found.reason


def test_a_compact_that_was_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    """Who takes the folder next removes its half of a copy."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
    left = tmp_path / "compact-x1"
    left.mkdir()
    (left / "data.mdb").write_bytes(b"half")
    with found_store(tmp_path):
        assert not left.exists()


def test_root_leaves_the_daemon_its_files(tmp_path: Path) -> None:
    """Who compacts a state, or gives it up, need not be who runs the daemon."""
    if os.geteuid():
        pytest.skip("[of the machine] only root gives files away")
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
    for file in (tmp_path, *tmp_path.iterdir()):
        os.chown(file, 1234, 1235)
        file.chmod(0o700 if file.is_dir() else 0o640)
    (tmp_path / "lock.mdb").unlink()
    compact(tmp_path)
    rebuild(tmp_path)
    found = {
        file.name: (file.stat().st_uid, file.stat().st_gid, oct(file.stat().st_mode & 0o777))
        for file in tmp_path.iterdir()
    }
    assert found == dict.fromkeys(("data.mdb", "lock.mdb", MARK, "owner"), (1234, 1235, "0o640"))
