"""An open state: applied to, grown, fitted to what is wanted, rid of what isn't."""

from __future__ import annotations

import errno
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

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
    AggregateWanted,
    Deaf,
    Home,
    IndexWanted,
    Part,
    Rebuild,
    Staged,
    Store,
    Wanted,
    environment,
)
from cdc_daemon.state.offline import compact, inspect
from cdc_daemon.state.ordering import key_encoder
from cdc_daemon.state.rows import unpack
from tests.generators.by_hand import INT4, TEXT, table
from tests.generators.states import (
    BY_CITY,
    HOTEL,
    MANY,
    apply,
    count_in,
    fit_empty,
    found_store,
    here,
    hotels,
    insert,
    kill,
    new_store,
    rows,
    staged,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cdc_daemon.state import Batch

ROOT = Path(__file__).parents[3]

COUNT = AggregateWanted("count", ("public.hotel",))


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


def test_a_state_that_can_not_be_synced_at_its_close_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at any other sync: the kernel may have dropped what it could not write."""

    def fails(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    home = Home(tmp_path)
    store = home.create(here())
    store.fit(Wanted((HOTEL,)))
    with monkeypatch.context() as patched:
        patched.setattr(environment.Environment, "sync", fails)
        with pytest.raises(OSError, match="Input/output"):
            store.close()
    found, decided = home.find(here(), str)
    home.close()
    assert found is None
    assert decided == Rebuild("the state could not be synced: [Errno 5] Input/output error")


@pytest.mark.parametrize("doing", [Store.sync, Store.close])
def test_a_folder_that_is_taken_away_is_named(
    tmp_path: Path, doing: Callable[[Store], object]
) -> None:
    """While the state is used: it can be loaded anew, so the error says to start again."""
    home = Home(tmp_path / "state")
    store = home.create(here())
    store.fit(Wanted((HOTEL,)))
    shutil.rmtree(tmp_path / "state")
    with pytest.raises(StateError, match=r"was taken away while it is used .* start again"):
        doing(store)
    kill(store)
    home.close()


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


def test_an_aggregate_is_counted_once_its_rows_are_there(tmp_path: Path) -> None:
    """Also one of a table that is loaded, for the first time or anew: rows don't bring it along."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        state_id = store.id
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((HOTEL,), aggregates=(COUNT,)))
        assert store.schema.to_count == ["count"]
        store.counted("count")
        number = store.schema.aggregates["count"].number
    more = table("id", "name", "city", "stars")
    with found_store(tmp_path, state_id) as store:
        assert not store.schema.to_count
        store.fit(Wanted((more,), aggregates=(COUNT,)))
        assert store.schema.to_load == ["public.hotel"]
        assert store.schema.to_count == ["count"]
        assert store.schema.aggregates["count"].number != number
        assert f"counters {number}" in store.schema.dropped


def test_an_index_leaves_counters_alone_that_are_not_counted_over_it(tmp_path: Path) -> None:
    """One more on their table is no reason to make a read model anew that doesn't use it."""
    with new_store(tmp_path) as store:
        fit_empty(store, Wanted((HOTEL,), aggregates=(COUNT,)))
        kept = store.schema.aggregates
        store.fit(Wanted((HOTEL,), (BY_CITY,), (COUNT,)))
        assert (store.schema.to_count, store.schema.aggregates) == ([], kept)
        assert store.schema.to_build == [BY_CITY.text]


def test_what_nobody_reads_is_dropped_in_slices(tmp_path: Path) -> None:
    """Tables, indexes, counters, pending documents, fan-outs of what is no longer configured."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,), (BY_CITY,), (COUNT,), ("hotels",)))
        apply(store, tmp_path, 1, *hotels(0, 5000))
        number = store.schema.projections["hotels"]
        store.write(lambda batch: batch.pending.mark(number, b'"1"', b"k", Position(1)))
        store.write(lambda batch: batch.fan_outs.open(number, b"8 bytes.", b"g", Position(1)))
        state_id = store.id
    with found_store(tmp_path, state_id) as store:
        store.fit(Wanted((table("id", name="room"),)))
        assert len(store.schema.dropped) == 7
        slices = 0
        while not store.drop_some():
            slices += 1
        assert slices >= 7
        assert not store.schema.dropped
        store.sync()
        assert (store.figures.pending, store.figures.fan_outs) == (0, 0)
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
        store.write(lambda batch: batch.load(hotel, chunk, b"chunk 1"))
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
        store.write(lambda batch: batch.load(hotel, [whole], b""))
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


def put_many(one: Staged) -> None:
    """Rows of 300 bytes and more."""
    for number in range(100):
        one.put(insert(b"%d" % number, b'"%b"' % (b"x" * 300)))


def test_what_a_transaction_spills_has_a_bound(tmp_path: Path) -> None:
    """Before it is beyond that, it says what to do."""
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL,)))
        one = Staged(store.tables, tmp_path / "spill", 1_000, 5_000)
        with pytest.raises(StateError, match=r"state\.max_spill \(5000 bytes\)"):
            put_many(one)
        assert 2_000 < one.spilled_bytes <= 5_000
        one.close()


def test_parents_and_children_find_each_other(tmp_path: Path) -> None:
    """A child its parent by the key, a parent its children in order; NULL finds nothing."""
    room = table("id", Column("hotel_id", INT4), name="room")
    of_hotel = IndexWanted("public.room", (Part("hotel_id", INT4),))
    with new_store(tmp_path) as store:
        store.fit(Wanted((HOTEL, room), (of_hotel,)))
        rooms = [(b"10", b"1"), (b"9", b"1"), (b"8", b"null"), (b"7", b"2")]
        apply(store, tmp_path, 1, *hotels(1, 1), *(insert(*row, relation=room) for row in rooms))
        hotel, index = store.tables[HOTEL], store.indexes[of_hotel.text]
        key, group = hotel.key([b"1"]), index.group([b"1"])
        assert key is not None
        assert group is not None
        assert store.read(lambda batch: hotel.row(batch.txn, key)) is not None
        found = store.read(lambda batch: index.rows(batch.txn, group))
        assert [unpack(row) for row in found] == [[b"9", b"1"], [b"10", b"1"]]
        assert (hotel.key([b"null"]), index.group([b"null"])) == (None, None)


def test_keys_of_integers_meet_whatever_their_width() -> None:
    """A foreign key of int4 finds a key of int8."""
    assert key_encoder(INT4)(b"7") == key_encoder(ColumnType("int8"))(b"7")


def test_it_says_what_is_lacking(tmp_path: Path) -> None:
    """Rows, then an index of rows that are there, then counters; an index that is lacking makes
    the counters lack as well that are counted over it.
    """  # noqa: D205 - one sentence
    wanted = Wanted((HOTEL,), (), (COUNT,))
    indexed = Wanted((HOTEL,), (BY_CITY,), (replace(COUNT, indexes=(BY_CITY.text,)),))
    with new_store(tmp_path) as store:
        store.fit(wanted)
        assert store.schema.lacks(wanted) == "rows of public.hotel"
        store.loaded("public.hotel")
        assert store.schema.lacks(wanted) == "counters of rows"
        store.counted(COUNT.text)
        assert store.schema.lacks(wanted) == ""
        apply(store, tmp_path, 1, *hotels(0, 10))
        assert store.fitting(indexed).lacks(indexed) == "an index of rows"
    with found_store(tmp_path) as store:
        store.fit(indexed)
        while not store.index_some():
            pass
        assert count_in(store, b'"city 3"') == 1
        assert store.schema.lacks(indexed) == "counters of rows"
        store.counted(COUNT.text)
        assert store.schema.lacks(indexed) == ""
