"""A table that comes into the publication while a slot is there: the slot stays, nothing lacks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.errors import RetryError
from tests.generators.existing_rows import rows_of
from tests.integration.postgres.conftest import (
    Connection,
    MakeSource,
    describe,
    examined,
    one,
    read_commits,
    start,
    wait_until,
    waits_for_a_lock,
)

if TYPE_CHECKING:
    from cdc_daemon.events import Relation, Row
    from connectors.postgres import PostgresSource
    from connectors.postgres.chunkreader import PostgresChunkReader
    from tests.conftest import Database, StartPostgres


@pytest.fixture(autouse=True)
def tables(connection: Connection) -> None:
    """One that is followed from the beginning, and one that joins it."""
    connection.execute("create table old (id int primary key)")
    connection.execute("create table item (id int primary key)")


@pytest.fixture
def followed(source: PostgresSource) -> None:
    """The stream is there, and lacks `item`."""
    start(source, "old")


def join(source: PostgresSource) -> Relation:
    """As a start does whose mapping has got `item`; the stream goes on where it was."""
    relations = describe(source, "old", "item")
    source.prepare(relations)
    place = source.place()
    assert place is not None
    source.start(relations, place)
    return relations[1]


def settled_rows(reader: PostgresChunkReader, relation: Relation) -> list[Row]:
    """What chunks have, once they may be read."""
    reader.settle(relation)
    return sorted(rows_of(reader, relation, reader.plan(relation)))


def streamed(source: PostgresSource, commits: int) -> list[Row | None]:
    """The new rows."""
    return [change.new for change in read_commits(source, commits)]


@pytest.mark.usefixtures("followed")
def test_a_transaction_that_had_written_before_is_waited_for(
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
    database: Database,
) -> None:
    """The stream has only what it writes afterwards, so its rows are read once it has ended.

    What begins later is waited for by nobody, and is in the stream.
    """
    with psycopg.connect(database.dsn) as writing, psycopg.connect(database.dsn) as later:
        writing.execute("insert into item values (1)")
        relation = join(source)
        writing.execute("insert into item values (2)")
        with pytest.raises(RetryError, match=f"pid {writing.info.backend_pid}.*To end one") as why:
            reader.settle(relation)
        assert why.value.reason == "writers"
        later.execute("insert into item values (3)")
        unread = rows_of(reader, relation, reader.plan(relation))
        assert unread == [], "read now, the row 1 would be in no chunk and no change"
        writing.commit()
        assert settled_rows(reader, relation) == [[b"1"], [b"2"]]
        later.commit()
    connection.execute("insert into item values (4)")
    assert streamed(source, 3) == [[b"2"], [b"3"], [b"4"]]


@pytest.mark.usefixtures("followed")
def test_a_transaction_that_never_writes_again_hides_nothing_later(
    source: PostgresSource,
    reader: PostgresChunkReader,
    connection: Connection,
    database: Database,
) -> None:
    """What the server has noted of the table while it decoded that one is forgotten."""
    with psycopg.connect(database.dsn) as writing, psycopg.connect(database.dsn) as later:
        writing.execute("insert into item values (1)")
        relation = join(source)
        with pytest.raises(RetryError):
            reader.settle(relation)
        later.execute("insert into item values (2)")
        writing.commit()
        later.commit()
    connection.execute("insert into item values (3)")
    assert streamed(source, 2) == [[b"2"], [b"3"]]
    assert settled_rows(reader, relation) == [[b"1"], [b"2"], [b"3"]]


@pytest.mark.usefixtures("followed")
def test_savepoints_and_what_has_written_nothing(
    source: PostgresSource, reader: PostgresChunkReader, database: Database
) -> None:
    """A subtransaction counts as its transaction; who holds the lock and wrote nothing doesn't."""
    with psycopg.connect(database.dsn) as writing, psycopg.connect(database.dsn) as idle:
        idle.execute("update item set id = 0 where id = -1")
        writing.execute("savepoint one; insert into item values (1); release one")
        relation = join(source)
        with pytest.raises(RetryError, match="1 open transactions"):
            reader.settle(relation)
        writing.commit()
        assert settled_rows(reader, relation) == [[b"1"]]
        idle.execute("insert into item values (2)")
        idle.commit()
    assert streamed(source, 1) == [[b"2"]]


@pytest.mark.usefixtures("followed")
def test_a_locked_table_holds_up_nobody(
    source: PostgresSource, connection: Connection, database: Database
) -> None:
    """While we wait for VACUUM or the like, the application writes on."""
    relations = describe(source, "old", "item")
    joining = threading.Thread(target=source.prepare, args=[relations])
    with psycopg.connect(database.dsn) as vacuum:
        vacuum.execute("lock table item in share update exclusive mode")
        joining.start()
        wait_until(lambda: waits_for_a_lock(connection))
        connection.execute("set lock_timeout = '100ms'")
        connection.execute("insert into item values (1)")
    joining.join()
    connection.execute("insert into item values (2)")


@pytest.mark.usefixtures("followed")
def test_writers_of_a_partition_are_waited_for(
    source: PostgresSource, reader: PostgresChunkReader, connection: Connection, database: Database
) -> None:
    """Also where they name the partition, and not its table."""
    connection.execute("drop table item")
    connection.execute("create table item (id int primary key) partition by list (id)")
    connection.execute("create table first partition of item for values in (1)")
    connection.execute("create table rest partition of item default")
    with psycopg.connect(database.dsn) as writing:
        writing.execute("insert into first values (1)")
        relation = join(source)
        with pytest.raises(RetryError, match="1 open transactions"):
            reader.settle(relation)
        writing.commit()
    connection.execute("insert into rest values (2)")
    assert streamed(source, 1) == [[b"2"]]
    assert settled_rows(reader, relation) == [[b"1"], [b"2"]]


def test_a_prepared_transaction_is_waited_for(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """Also one that is prepared while it is waited for, and over a restart of the server."""
    server = private_postgres(settings={"max_prepared_transactions": 5})
    source = make_source(server.dsn, slot="prepared")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table old (id int primary key)")
        connection.execute("create table item (id int primary key)")
        start(source, "old")
        connection.execute("begin; insert into item values (1); prepare transaction 'first'")
        with psycopg.connect(server.dsn, autocommit=True) as writing:
            writing.execute("begin; insert into item values (2)")
            relation = join(source)
            reader = source.chunk_reader()
            with pytest.raises(RetryError, match=r"pid \d+, prepared 'first'"):
                reader.settle(relation)
            writing.execute("prepare transaction 'second'")
        connection.execute("commit prepared 'first'")
        with pytest.raises(RetryError, match="ended: prepared 'second'"):
            reader.settle(relation)
    server.stop()
    server.start()
    reader.close()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        with pytest.raises(RetryError, match="prepared 'second'"):
            reader.settle(relation)
        connection.execute("commit prepared 'second'")
    assert settled_rows(reader, relation) == [[b"1"], [b"2"]]
    reader.close()


def test_a_table_that_was_taken_out_is_told_from_one_that_never_was(
    source: PostgresSource, connection: Connection
) -> None:
    """Each time it comes into the publication it belongs to it in another way; so if made anew."""
    relations = describe(source, "old", "item")
    first = source.prepare(relations)
    assert first == source.prepare(relations)
    assert set(first) == {"public.old", "public.item"}
    connection.execute("alter publication pub drop table only item")
    second = source.prepare(relations)
    connection.execute("drop table item; create table item (id int primary key)")
    third = source.prepare(describe(source, "old", "item"))
    assert len({first["public.item"], second["public.item"], third["public.item"]}) == 3
    assert first["public.old"] == second["public.old"] == third["public.old"]


@pytest.mark.parametrize("what", ["all tables", "tables in schema public"])
def test_tables_of_a_wider_publication_belong_to_it(
    make_source: MakeSource, connection: Connection, what: str
) -> None:
    """There is nothing to add, and one that is made anew belongs to it in another way."""
    connection.execute(
        f"create publication pub for {what} with (publish_via_partition_root = true)".encode()
    )
    source = make_source(publication={"manage": False})
    before = source.prepare(describe(source, "old", "item"))
    connection.execute("drop table item; create table item (id int primary key)")
    after = source.prepare(describe(source, "old", "item"))
    assert before["public.item"] != after["public.item"]
    assert before["public.old"] == after["public.old"]


@pytest.mark.usefixtures("followed")
def test_what_is_mapped_no_longer_is_said_by_check(
    source: PostgresSource, connection: Connection
) -> None:
    """It stays in the publication, with the SQL that takes it out."""
    source.close()
    (before,) = (each for each in examined(source, "item") if each.check == "publication pub")
    assert before.level == "ok"
    assert "loads only what reads them: alter publication" in before.message
    source.prepare(describe(source, "item"))
    (found,) = (each for each in examined(source, "item") if each.check == "publication pub")
    assert found.level == "ok"
    statement = found.message.partition("To take them out: ")[2]
    connection.execute(statement.encode())
    members = "select string_agg(tablename, ',') from pg_publication_tables"
    assert one(connection, members) == "item"
