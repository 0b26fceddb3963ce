"""A state's life: taken, trusted, grown, fitted to what is wanted, looked at, compacted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdc_daemon.errors import RejectedError, StateError
from cdc_daemon.events import (
    UNCHANGED,
    Change,
    ChangeKind,
    Column,
    ColumnType,
    Position,
    Unreadable,
)
from cdc_daemon.state import (
    Deaf,
    GoOn,
    Home,
    IndexWanted,
    Part,
    Rebuild,
    Staged,
    Wanted,
    environment,
)
from cdc_daemon.state.mark import read_mark, write_mark
from cdc_daemon.state.offline import compact, inspect, rebuild
from cdc_daemon.state.ordering import key_encoder
from cdc_daemon.state.rows import unpack
from tests.generators.fakes import INT4, TEXT, table
from tests.generators.states import found_store, here, new_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.events import Relation, Row
    from cdc_daemon.state import Batch, Store

ROOT = Path(__file__).parents[3]
HOTEL = table("id", "name", "city")
BY_CITY = IndexWanted("public.hotel", (Part("city", TEXT),))
MANY = 10**9


def staged(store: Store, folder: Path, changes: list[Change], most_bytes: int = MANY) -> Staged:
    """A transaction."""
    one = Staged(store.tables, folder, most_bytes)
    for change in changes:
        one.put(change)
    return one


def insert(*row: bytes, relation: Relation = HOTEL) -> Change:
    """A new row."""
    return Change(relation, ChangeKind.INSERT, list(row))


def hotels(first: int, count: int) -> list[Change]:
    """New rows, of 100 bytes each."""
    return [
        insert(b"%d" % n, b'"%b"' % (b"h" * 80), b'"city %d"' % (n % 9))
        for n in range(first, first + count)
    ]


def apply(store: Store, folder: Path, position: int, *changes: Change) -> None:
    """Apply one transaction."""
    one = staged(store, folder, list(changes))
    store.write(lambda batch: batch.apply(one, Position(position), Deaf()))


def rows(store: Store, relation: Relation = HOTEL) -> dict[bytes, Row]:
    """All rows by key."""
    tree = store.tables[relation].database

    def read(batch: Batch) -> dict[bytes, Row]:
        with batch.txn.cursor(tree) as cursor:
            return {key: unpack(row) for key, row in cursor.iternext(keys=True, values=True)}

    return store.read(read)


def count_in(store: Store, city: bytes) -> int:
    """How many rows the index has for a city."""
    index = store.indexes[BY_CITY.text]
    group = index.group([city])
    assert group is not None
    return store.read(lambda batch: len(list(index.keys(batch.txn, group))))


def decision(folder: Path, *arguments: Any, **options: Any) -> GoOn | Rebuild:
    """What a start decides; what it opens is closed again."""
    home = Home(folder)
    store, decided = home.find(here(*arguments, **options), str)
    if store is not None:
        store.close()
    home.close()
    return decided


def kill(store: Store) -> None:
    """End without a word, as kill -9 does: the kernel keeps what was written."""
    store._env.close()


def test_a_state_goes_on_where_it_was_closed(tmp_path: Path) -> None:
    """Rows, position, and the progress of a load are there."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        apply(store, tmp_path, 7, insert(b"1", b'"a"', b'"x"'))
        store.write(lambda batch: batch.load(store.tables[HOTEL], (), b"half", Deaf()))
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


def test_the_map_grows_and_the_transaction_is_applied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much larger than the map it is, spilled or not: all of it is there, once."""
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 << 20)
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,)))
        one = staged(store, tmp_path, hotels(0, 30_000), most_bytes=500_000)
        attempts = []

        def work(batch: Batch) -> None:
            attempts.append(batch)
            batch.apply(one, Position(1), Deaf())

        store.write(work)
        one.close()
        assert len(attempts) > 2
        assert len(rows(store)) == 30_000
        assert count_in(store, b'"city 3"') == 30_000 // 9


def test_at_its_bound_the_state_stops_with_nothing_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start, with a higher bound, goes on from the same transaction."""
    monkeypatch.setattr(environment, "FIRST_MAP_BYTES", 1 << 20)
    home = Home(tmp_path, 1 << 21)
    store = home.create(here())
    store.fit(Wanted((HOTEL,)))
    apply(store, tmp_path, 1, *hotels(0, 1000))
    with pytest.raises(StateError, match=r"Raise state\.max_size"):
        apply(store, tmp_path, 2, *hotels(1000, 50_000))
    assert len(rows(store)) == 1000
    store.close()
    home.close()
    with found_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        apply(store, tmp_path, 2, *hotels(1000, 50_000))
        assert len(rows(store)) == 51_000


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of that size."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("[of the machine] a small disk can't be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_it_with_nothing_lost(tmp_path: Path) -> None:
    """The error says so; once there is room it goes on from the same transaction."""
    disk = tmp_path / "disk"
    with small_disk(disk, "8m"):
        home = Home(disk / "state")
        store = home.create(here())
        store.fit(Wanted((HOTEL,), (BY_CITY,)))
        apply(store, tmp_path, 1, *hotels(0, 1000))
        with pytest.raises(StateError, match="no room on the disk"):
            apply(store, tmp_path, 2, *hotels(1000, 60_000))
        assert len(rows(store)) == 1000
        kill(store)
        home.close()
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        with found_store(disk / "state") as store:
            store.fit(Wanted((HOTEL,), (BY_CITY,)))
            assert (len(rows(store)), count_in(store, b'"city 0"')) == (1000, 112)
            apply(store, tmp_path, 2, *hotels(1000, 60_000))
            assert len(rows(store)) == 61_000


def test_one_more_table_or_column_loads_just_that(tmp_path: Path) -> None:
    """Other tables keep their rows; a dropped column keeps them all."""
    rooms, more = table("id", "kind", name="room"), table("id", "kind", "price", name="room")
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL, rooms)))
        apply(store, tmp_path, 1, *hotels(0, 5), insert(b"1", b'"single"', relation=rooms))
        for name in ("public.hotel", "public.room"):
            store.loaded(name)
        state_id = store.id
    fewer = table("id", "city")
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((fewer, more)))
        assert store.schema.to_load == ["public.room"]
        assert rows(store, more) == {}
        city = store.tables[fewer].place("city")
        assert [row[city] for row in rows(store, fewer).values()] == [
            b'"city %d"' % n for n in range(5)
        ]
        apply(store, tmp_path, 2, insert(b"9", b'"new"', relation=fewer))
        assert rows(store, fewer)[store.tables[fewer].key_of([b"9", b"null"])][city] == b'"new"'
        assert "table 2" in store.schema.dropped
    with found_store(tmp_path, state_id) as store:
        # What nobody read for a while isn't trusted.
        store.fit(Wanted((HOTEL, more)))
        assert store.schema.to_load == ["public.hotel", "public.room"]


def test_what_nobody_reads_is_dropped_in_slices(tmp_path: Path) -> None:
    """Tables, indexes, counters and pending documents of what is no longer configured."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,), ("count",), ("hotels",)))
        apply(store, tmp_path, 1, *hotels(0, 5000))
        number = store.schema.projections["hotels"]
        store.write(lambda batch: batch.pending.mark(number, b'"1"', b"k", Position(1)))
        state_id = store.id
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((table("id", name="room"),)))
        assert len(store.schema.dropped) == 5
        slices = 0
        while not store.drop_some():
            slices += 1
        assert slices >= 6
        assert not store.schema.dropped
        store.sync()
        assert store.figures.pending == 0
    found = inspect(tmp_path)
    assert [(tree.table, tree.entries) for tree in found.trees] == [("public.room", 0)]
    before, after = compact(tmp_path)
    assert after < before


def test_a_new_index_is_built_from_the_rows(tmp_path: Path) -> None:
    """In slices, while rows change, and from the beginning after a restart."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        apply(store, tmp_path, 1, *hotels(0, 5000))
        store.loaded("public.hotel")
        state_id = store.id
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,)))
        assert not store.index_some()
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,)))
        assert store.schema.to_load == []
        assert not store.index_some()
        gone = Change(HOTEL, ChangeKind.DELETE, None, [b"4999", b"null", b"null"])
        apply(store, tmp_path, 2, gone, insert(b"6000", b'"a"', b'"city 0"'))
        while not store.index_some():
            pass
        cities = [count_in(store, b'"city %d"' % n) for n in range(9)]
        assert cities == [557, 556, 556, 556, 555, 555, 555, 555, 555]


def test_chunks_come_in_with_their_progress(tmp_path: Path) -> None:
    """In one transaction: rows, entries, progress; what was there is replaced."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,)))
        hotel = store.tables[HOTEL]
        apply(store, tmp_path, 1, insert(b"1", b'"old"', b'"x"'))
        chunk = [hotel.load([b"%d" % n, b'"a"', b'"y"'], odd=False) for n in range(3)]
        store.write(lambda batch: batch.load(hotel, chunk, b"chunk 1", Deaf()))
        assert (count_in(store, b'"x"'), count_in(store, b'"y"')) == (0, 3)
        assert store.read(lambda batch: batch.progress) == b"chunk 1"


def test_a_value_that_nobody_knows_is_a_hole_until_it_comes(tmp_path: Path) -> None:
    """An update of a row that isn't loaded yet leaves out a value; its key is noted."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        hotel = store.tables[HOTEL]
        partly = Change(HOTEL, ChangeKind.UPDATE, [b"1", UNCHANGED, b'"x"'], has_unchanged=True)
        apply(store, tmp_path, 1, partly)
        key = hotel.key_of([b"1"])
        assert store.read(lambda batch: list(batch.holes(hotel))) == [key]
        whole = hotel.load([b"1", b'"a"', b'"x"'], odd=False)
        store.write(lambda batch: batch.load(hotel, [whole], b"", Deaf()))
        assert store.read(lambda batch: list(batch.holes(hotel))) == []


def test_a_key_that_can_not_be_read_is_rejected(tmp_path: Path) -> None:
    """Such a row is kept nowhere; one with another unreadable value is."""
    unreadable = Unreadable("not_utf8", "a text value is not UTF-8", b"\xff")
    code = table(Column("code", TEXT, in_identity=True), "name", name="code", key=("code",))
    with new_store(tmp_path) as store:
        store.fit(Wanted((code,)))
        one = Staged(store.tables, tmp_path, MANY)
        with pytest.raises(RejectedError, match="column code"):
            one.put(Change(code, ChangeKind.INSERT, [unreadable, b'"a"'], has_unchanged=True))
        one.put(Change(code, ChangeKind.INSERT, [b'"k"', unreadable], has_unchanged=True))
        store.write(lambda batch: batch.apply(one, Position(1), Deaf()))
        assert list(rows(store, code).values()) == [[b'"k"', unreadable]]


def test_keys_of_integers_meet_whatever_their_width() -> None:
    """A foreign key of int4 finds a key of int8."""
    assert key_encoder(INT4)(b"7") == key_encoder(ColumnType("int8"))(b"7")


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
