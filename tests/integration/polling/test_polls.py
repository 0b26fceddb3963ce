"""What polls find, and what they miss, by each way to choose rows."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.errors import RetryError, SchemaChangedError
from cdc_daemon.events import Change, ChangeKind, Commit
from cdc_daemon.ports import Polling, TableRequest
from tests.conformance.follower import decoded
from tests.conformance.upstream import Delete, Insert, Truncate, Update
from tests.generators.existing_rows import existing_rows, planned, read_chunks

if TYPE_CHECKING:
    from cdc_daemon.events import Event
    from cdc_daemon.ports import Source
    from tests.integration.polling.conftest import Poll

BY_COLUMN = {"column": "updated_at", "overlap": "1h"}
BLOCK = 8192


@pytest.mark.parametrize("by", ["xmin", "comparison", BY_COLUMN])
def test_a_transaction_that_commits_late_is_found(poll: Poll, by: object) -> None:
    """Also what it has done within a savepoint, after others were read that began later."""
    polled = poll(by=by)
    polled.load()
    with psycopg.connect(polled.upstream.dsn) as late, late.transaction():
        late.execute("insert into item (id) values ('late')")
        with late.transaction():
            late.execute("insert into item (id) values ('later')")
        polled.upstream.commit(Insert("early"))
        polled.poll()
        assert polled.rows == {"early": None}
    polled.poll()
    assert polled.rows == {"early": None, "late": None, "later": None}


@pytest.mark.parametrize("by", ["xmin", BY_COLUMN])
def test_rows_that_are_read_twice_are_given_once(poll: Poll, by: object) -> None:
    """A transaction is open all the time, and the overlap is long."""
    polled = poll(by=by)
    polled.load()
    with psycopg.connect(polled.upstream.dsn) as other, other.transaction():
        other.execute("select pg_current_xact_id()")
        polled.upstream.commit(Insert("a"))
        assert len(polled.poll()) == 1
        polled.poll_in_vain()
        polled.upstream.commit(Insert("b"))
        assert len(polled.poll()) == 1


def test_a_commit_later_than_the_overlap_is_missed_until_all_is_compared(poll: Poll) -> None:
    """By a watermark column that is set long before the commit."""
    polled = poll(by={"column": "number", "overlap": 0}, compare="1s")
    polled.load()
    polled.poll_in_vain()  # all is compared for the first time
    polled.upstream.write("insert into item (id, number) values ('a', 100)")
    polled.poll()
    polled.upstream.write("insert into item (id, number) values ('b', 50)")
    polled.poll()
    assert polled.rows == {"a": None, "b": None}


def test_one_row_of_the_far_future_hides_no_others(poll: Poll) -> None:
    """A watermark beyond the source's clock isn't believed."""
    polled = poll(by={"column": "updated_at", "overlap": "1m"})
    polled.load()
    polled.upstream.write("insert into item (id, updated_at) values ('a', 'infinity')")
    polled.poll()
    polled.upstream.commit(Insert("b"))
    assert len(polled.poll()) == 1
    assert polled.rows == {"a": None, "b": None}


@pytest.mark.parametrize("by", ["xmin", BY_COLUMN])
def test_deleted_rows_stay_where_nobody_looks_for_them(poll: Poll, by: object) -> None:
    """Nor is TRUNCATE noticed: only a comparison of all rows sees it."""
    polled = poll(by=by)
    polled.upstream.commit(Insert("a"), Insert("b"))
    polled.load()
    polled.upstream.commit(Delete("a"), Insert("c"))
    polled.poll()
    polled.upstream.commit(Truncate())
    polled.poll_in_vain()
    assert polled.rows == {"a": None, "b": None, "c": None}


@pytest.mark.parametrize("by", ["xmin", "comparison", BY_COLUMN])
def test_a_row_that_counts_as_deleted_is_deleted(poll: Poll, by: object) -> None:
    """It isn't loaded either; and it comes back."""
    polled = poll(by=by, deleted="deleted_at is not null")
    polled.upstream.write(
        "insert into item (id, updated_at, deleted_at) values ('gone', '2020-01-01', now())"
    )
    polled.upstream.commit(Insert("a"), Insert("b"))
    polled.load()
    assert polled.rows == {"a": None, "b": None}
    reader = polled.source.chunk_reader()
    found = reader.read_keys(polled.relation, ["id"], [("a",), ("gone",)])
    reader.close()
    assert [row[0] for row in found.rows] == [b'"a"'], "nor is it found by its key"
    touch = "update item set updated_at = clock_timestamp(), deleted_at = "
    polled.upstream.write(f"{touch} now() where id = 'a'")
    assert ChangeKind.DELETE in [change.kind for change in polled.poll()]
    assert polled.rows == {"b": None}
    polled.poll_in_vain()
    polled.upstream.write(f"{touch} null where id = 'a'")
    polled.poll()
    assert polled.rows == {"a": None, "b": None}


@pytest.mark.parametrize("by", ["xmin", BY_COLUMN])
def test_what_is_compared_now_and_then_is_right_then(poll: Poll, by: object) -> None:
    """Deletes, a changed key and TRUNCATE."""
    polled = poll(by=by, compare="1ms")
    polled.upstream.commit(Insert("a"), Insert("b"), Insert("c"))
    polled.load()
    polled.upstream.commit(Delete("a"), Update("b", "other", new_id="B"))
    polled.poll()
    assert polled.rows == {"B": "other", "c": None}
    polled.upstream.commit(Truncate())
    polled.poll()
    assert polled.rows == {}


def test_a_key_that_is_written_in_another_way_is_the_same_row(poll: Poll) -> None:
    """1.0 is 1.00: the old document goes, and the row doesn't."""
    polled = poll("create table {table} (id numeric primary key, note text)")
    polled.upstream.write("insert into item values (1.0, 'a')")
    polled.load()
    polled.upstream.write("update item set id = 1.00")
    [change] = polled.poll()
    assert (change.old, change.new) == ([b"1.0", b"null"], [b"1.00", b'"a"'])


@pytest.mark.parametrize("how", [{"by": "comparison"}, {"by": "xmin", "compare": "1ms"}])
def test_what_was_given_and_is_gone_before_it_was_durable_is_deleted(
    poll: Poll, how: dict[str, str]
) -> None:
    """A process dies after it has given a row, which may be searched, and the row is deleted."""
    polled = poll(**how)
    place = polled.load()
    polled.poll_in_vain()
    polled.upstream.commit(Insert("a"))
    polled.poll()
    polled.die()
    polled.upstream.commit(Delete("a"))
    polled.go_on(place)
    polled.poll()
    assert polled.rows == {}


def test_a_row_that_only_a_chunk_has_seen_is_deleted(poll: Poll) -> None:
    """It came after one poll, was loaded, and is gone before the next."""
    polled = poll()
    polled.load()
    polled.poll_in_vain()
    polled.upstream.commit(Insert("a"))
    reader = polled.source.chunk_reader()
    chunks = planned(polled.source, polled.relation)
    [chunk] = read_chunks(reader, polled.relation, chunks)
    [again] = read_chunks(reader, polled.relation, chunks)
    reader.close()
    polled.rows = {"a": None}
    assert len(chunk.rows) == 1
    assert chunk.reached > polled.watermark, "it waits for the poll that looks for it"
    assert again.reached == polled.watermark, "it waits for none"
    polled.upstream.commit(Delete("a"))
    polled.poll()
    assert polled.rows == {}


@pytest.mark.parametrize("by", ["xmin", "comparison", BY_COLUMN])
def test_a_row_that_only_a_chunk_has_seen_otherwise_is_given(poll: Poll, by: object) -> None:
    """It is again as the poll before has read it: what was loaded isn't, and must be mended."""
    polled = poll(by=by)
    polled.load()
    polled.upstream.commit(Insert("a", "one"), Insert("b", "two"), Insert("c", "three"))
    polled.poll()
    polled.upstream.commit(Update("a", "other"), Delete("b"))
    polled.rows = dict(map(decoded, existing_rows(polled.source, polled.relation)))
    assert polled.rows == {"a": "other", "c": "three"}
    polled.upstream.commit(Update("a", "one"), Insert("b", "two"))
    assert len(polled.poll()) == 2, "c isn't given once more"
    assert polled.rows == {"a": "one", "b": "two", "c": "three"}
    polled.upstream.write("update item set note = note where id = 'a'")
    polled.poll_in_vain()


@pytest.mark.parametrize(
    "how", [{"by": "xmin", "compare": "1d"}, {"by": "comparison"}, {"by": BY_COLUMN}]
)
def test_a_row_that_moves_between_two_chunks_is_given(poll: Poll, how: dict[str, Any]) -> None:
    """To where nothing more is read: no chunk has it, however many polls lie between the two."""
    polled = poll(**how)
    polled.upstream.write(
        "insert into item (id, note, updated_at) select n, repeat('x', 500), '2020-01-01' "
        "from generate_series(1, 100) n"
    )
    polled.load()
    polled.upstream.commit(Insert("of now"))
    polled.poll()
    with closing(polled.source.chunk_reader(BLOCK)) as reader:
        polled.rows = {}
        for chunk in reader.plan(polled.relation):
            read = read_chunks(reader, polled.relation, [chunk])
            polled.rows |= dict(decoded(row) for one in read for row in one.rows)
            polled.poll_in_vain()
            if chunk.first == (0, 0):
                polled.upstream.write("update item set number = 1 where id = '100'")
                assert len(polled.poll()) == 1
    assert len(polled.rows) == 101
    polled.poll_in_vain()
    polled.upstream.write("update item set number = 2 where id = '100'")
    polled.poll_in_vain()


def test_what_is_given_is_on_the_disk_of_the_server(poll: Poll) -> None:
    """A commit that didn't wait for that can't be lost any more once it was polled."""
    polled = poll(by="xmin")
    polled.load()
    with psycopg.connect(polled.upstream.dsn, autocommit=True) as connection:
        connection.execute("set synchronous_commit = off")
        connection.execute("insert into item (id) values ('a')")
        [(end,)] = connection.execute("select pg_current_wal_insert_lsn()::text")
        polled.poll()
        flushed = "select pg_current_wal_flush_lsn() >= %s::pg_lsn"
        assert connection.execute(flushed, [end]).fetchone() == (True,)


def test_nothing_is_read_while_nothing_is_written(poll: Poll) -> None:
    """An idle source isn't searched again and again."""
    polled = poll()
    polled.load()
    polled.idle(0.5)
    assert isinstance(polled.source, Polling)
    polls = polled.source.poll_report().polls
    polled.idle(1)
    assert polled.source.poll_report().polls == polls


def test_a_poll_sees_all_tables_at_one_moment(poll: Poll) -> None:
    """What is committed to two tables while the first is being read comes with the next poll."""
    polled = poll()
    polled.upstream.write("create table other (id text primary key)")
    source = polled.source
    relations = source.describe([TableRequest("item"), TableRequest("other")])
    source.prepare(relations)
    source.start(relations, source.create_place())
    polled.upstream.write("insert into item (id) values ('before')")
    found = read_until(source, Change)
    assert tables_of(found) == {"item"}, "the other one isn't read yet"
    polled.upstream.write("insert into item (id) values ('a'); insert into other values ('b')")
    assert tables_of(read_until(source, Commit)) == set()
    assert tables_of(read_until(source, Commit)) == {"item", "other"}


def read_until(source: Source, kind: type[Event]) -> list[Event]:
    """What is read until one of these has come."""
    found: list[Event] = []
    deadline = time.monotonic() + 60
    while not any(isinstance(event, kind) for event in found):
        assert time.monotonic() < deadline, found
        found.extend(source.read(0.2))
    return found


def tables_of(events: list[Event]) -> set[str]:
    """Those that have changed."""
    return {event.relation.name for event in events if isinstance(event, Change)}


def test_a_table_that_is_rewritten_amid_a_poll_is_polled_again(poll: Poll) -> None:
    """A snapshot that is older reads it as empty: that isn't taken for deletes."""
    polled = poll()
    polled.upstream.write(
        "create table other (id int primary key); insert into other values (1);"
        "insert into item (id, note) select n, repeat('x', 500) from generate_series(1, 50000) n"
    )
    source = polled.source
    relations = source.describe([TableRequest("item"), TableRequest("other")])
    source.prepare(relations)
    source.start(relations, source.create_place())
    for _ in range(3):
        assert source.read(0.2) == []  # the first table is being read
    polled.upstream.write("alter table other add column made float default random()")
    with pytest.raises(RetryError, match="rewritten"):
        read_for_ever(source)


def test_a_column_of_another_type_is_not_read_as_before(poll: Poll) -> None:
    """The mappings are compiled anew for it."""
    polled = poll()
    polled.load()
    polled.poll_in_vain()
    polled.upstream.write("alter table item alter column note type int using 1")
    with pytest.raises(SchemaChangedError, match="note"):
        read_for_ever(polled.source)


@pytest.mark.parametrize("by", ["xmin", BY_COLUMN])
@pytest.mark.parametrize(
    "shows", [{"is_open": True}, {"missing": frozenset({"made"})}], ids=["every", "named"]
)
def test_a_column_that_is_added_and_filled_is_not_read_without_it(
    poll: Poll, by: object, shows: dict[str, Any]
) -> None:
    """Later polls may not read these rows again: this one counts for nothing."""
    polled = poll(by=by)
    polled.relations = [replace(polled.relation, **shows)]
    polled.load()
    polled.upstream.commit(Insert("a"))
    polled.poll()
    with psycopg.connect(polled.upstream.dsn) as connection:
        connection.execute("alter table item add made text")
        connection.execute("update item set made = 'new', updated_at = clock_timestamp()")
    with pytest.raises(SchemaChangedError, match="column made was added") as caught:
        read_for_ever(polled.source)
    assert caught.value.in_catalog
    polled.die()
    polled.relations = polled.source.describe([TableRequest("item", ("id", "made"))])
    polled.go_on(polled.commits[-1].position)
    polled.poll()
    assert polled.rows == {"a": "new"}


def test_a_column_that_nobody_shows_is_of_no_matter(poll: Poll) -> None:
    """The poll goes on as if it weren't there."""
    polled = poll(by="xmin")
    polled.upstream.commit(Insert("a"))
    polled.load()
    polled.upstream.write("alter table item add made text; update item set note = 'b', made = 'c'")
    polled.poll()
    assert polled.rows == {"a": "b"}


def read_for_ever(source: Source) -> None:
    """Until it fails."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        source.read(0.2)
