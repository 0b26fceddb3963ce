"""Read tables as a database sees them: views that are switched, rights, tombstones, refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from cdc_daemon.errors import RetryError, SinkError, SourceError, StartAgainError
from cdc_daemon.events import ColumnType, DocumentOperation
from cdc_daemon.ports import FieldSpec, ReadModel, TableRequest
from connectors.postgres import PostgresSource
from connectors.postgres.config import PostgresConfig
from connectors.postgres.readtables import ReadTables, statements, writer
from connectors.postgres.readtables.config import ReadTablesConfig
from tests.generators.running_daemon import until
from tests.generators.standby import dsn_of_both, fail_over, flushed, standby_of, wait_replayed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cdc_daemon.ports import Writer
    from tests.conftest import Database, StartPostgres

NAME = FieldSpec("name", ColumnType("text"))
STARS = FieldSpec("stars", ColumnType("int4"))
WAITING = "select count(*)::int from pg_stat_activity where wait_event_type = 'Lock'"
HOTELS = ReadModel("hotels", (NAME, STARS), "f")


def read_tables(dsn: str, pipeline: str = "shop", **settings: Any) -> ReadTables:
    """The sink, as a daemon of `pipeline` has it."""
    section = {"type": "postgres", "dsn": dsn, **settings}
    return ReadTables(ReadTablesConfig.model_validate(section), pipeline=pipeline)


@pytest.fixture
def sink(database: Database) -> Iterator[ReadTables]:
    """The sink in the test's database."""
    made = read_tables(database.dsn)
    yield made
    made.close()


@pytest.fixture
def admin(database: Database) -> Iterator[psycopg.Connection]:
    """The superuser there, in autocommit."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        yield connection


def written(index: str, key: str, version: int, body: str | None) -> DocumentOperation:
    """One document, or its end."""
    return DocumentOperation(
        index, f'"{key}"'.encode(), version, None if body is None else body.encode()
    )


@pytest.fixture
def reader(admin: psycopg.Connection, database: Database) -> Iterator[str]:
    """A role that may do nothing yet."""
    role = f"reader_{database.name}"
    admin.execute(f"create role {role}")
    yield role
    admin.execute(f"drop owned by {role}")
    admin.execute(f"drop role {role}")


def test_a_view_that_only_grows_stays(
    sink: ReadTables, admin: psycopg.Connection, reader: str
) -> None:
    """Whoever may read it still may, and what depends on it still does."""
    sink.publish(sink.create_generation(HOTELS))
    admin.execute(f"grant select on read_models.hotels to {reader}")
    admin.execute("create view public.best as select name from read_models.hotels")
    more = replace(HOTELS, fields=(*HOTELS.fields, FieldSpec("city", ColumnType("text"))))
    sink.publish(sink.create_generation(more))
    may_read = "select has_table_privilege(%s, 'read_models.hotels', 'select')"
    assert admin.execute(may_read, [reader]).fetchone() == (True,)
    assert admin.execute("select city from read_models.hotels").fetchall() == []
    assert admin.execute("select name from public.best").fetchall() == []


def test_a_view_of_other_columns_is_made_anew(
    sink: ReadTables, admin: psycopg.Connection, reader: str
) -> None:
    """With the privileges on it; where others depend on it, the daemon names them and stops."""
    sink.publish(sink.create_generation(HOTELS))
    admin.execute(f"grant select on read_models.hotels to {reader} with grant option")
    other = replace(HOTELS, fields=(FieldSpec("stars", ColumnType("text")),))
    sink.publish(sink.create_generation(other))
    may_grant = "select has_table_privilege(%s, 'read_models.hotels', 'select with grant option')"
    assert admin.execute(may_grant, [reader]).fetchone() == (True,)
    admin.execute("create view public.best as select stars from read_models.hotels")
    last = sink.create_generation(HOTELS)
    with pytest.raises(SinkError, match="view best depends on view"):
        sink.publish(last)
    admin.execute("drop view public.best")
    assert sink.publish(last) == ["hotels_000002"]


def test_rights_on_columns_are_kept_as_far_as_those_are(
    sink: ReadTables, admin: psycopg.Connection, reader: str
) -> None:
    """Who may read only some of a view still may when it is made anew, and no more than that."""
    sink.publish(sink.create_generation(HOTELS))
    granted = "select (_id, name, stars), update (name)"
    admin.execute(f"grant {granted} on read_models.hotels to {reader} with grant option")
    admin.execute("grant select (stars) on read_models.hotels to public")
    sink.publish(sink.create_generation(replace(HOTELS, fields=(STARS,))))
    may = "select has_column_privilege(%s, 'read_models.hotels', %s, %s)"
    for column, right, has in (
        ("_id", "select with grant option", True),
        ("stars", "select with grant option", True),
        ("_document", "select", False),
        ("stars", "update", False),
    ):
        assert admin.execute(may, [reader, column, right]).fetchone() == (has,), (column, right)
    assert admin.execute(may, ["public", "stars", "select"]).fetchone() == (True,)


def test_a_table_that_is_read_is_dropped_later(
    sink: ReadTables, admin: psycopg.Connection, database: Database
) -> None:
    """It isn't found any more; nobody waits for the query, and the next drop takes it along."""
    first, second = sink.create_generation(HOTELS), sink.create_generation(HOTELS)
    with psycopg.connect(database.dsn) as reading:
        reading.execute(f"select from read_models.{first.index}")
        sink.drop_generation(first)
        assert sink.find_generation(first.index) is None
    there = "select to_regclass(%s) is not null"
    assert admin.execute(there, [f"read_models.{first.index}"]).fetchone() == (True,)
    sink.drop_generation(second)
    for each in (first, second):
        assert admin.execute(there, [f"read_models.{each.index}"]).fetchone() == (False,)


def test_a_tombstone_is_forgotten_when_it_is_old(
    sink: ReadTables, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nothing older can bring the document back."""
    monkeypatch.setattr(writer, "FIRST_FORGET_SECONDS", 0.0)
    monkeypatch.setattr(writer, "FORGET_EVERY_SECONDS", 0.0)
    made = sink.create_generation(HOTELS)
    one = sink.writer()
    left = f"select count(*) from read_models.{made.index}"
    one.write([written(made.index, "1", 9, None)])
    one.write([written(made.index, "2", 9, None)])
    assert len(one.write([written(made.index, "1", 8, "{}")]).stale) == 1
    assert admin.execute(left).fetchone() == (2,)
    monkeypatch.setattr(statements, "KEPT_FOR", "0 seconds")
    another = sink.writer()
    for _ in range(2):
        another.write([written(made.index, "3", 9, "{}")])
    assert admin.execute(left).fetchone() == (1,)
    one.close()
    another.close()


def test_a_document_that_jsonb_does_not_take_goes_alone(
    sink: ReadTables, admin: psycopg.Connection
) -> None:
    """Zero bytes and half surrogates are JSON, and no jsonb; what somebody forbids is no harm."""
    made = sink.create_generation(HOTELS)
    admin.execute(f"alter table read_models.{made.index} add check (stars < 6)")
    one = sink.writer()
    bodies = ['{"stars":1}', '{"name":"\\u0000"}', '{"name":"\\ud800"}', '{"stars":6}', "{}"]
    batch = [written(made.index, str(at), 1, body) for at, body in enumerate(bodies)]
    rejected = one.write(batch).rejected
    assert [each.operation for each in rejected] == batch[1:4]
    assert [each.reason for each in rejected] == [
        "untranslatable_character",
        "invalid_text_representation",
        "check_violation",
    ]
    one.close()


def test_columns_of_yours_are_left_alone(sink: ReadTables, admin: psycopg.Connection) -> None:
    """One that PostgreSQL fills, such as for full text, does no harm."""
    made = sink.create_generation(HOTELS)
    admin.execute(
        f"alter table read_models.{made.index} add words tsvector"
        " generated always as (to_tsvector('simple', name)) stored"
    )
    one = sink.writer()
    assert not one.write([written(made.index, "1", 1, '{"name":"Grand Hotel"}')]).rejected
    found = admin.execute(f"select words @@ 'grand' from read_models.{made.index}")
    assert found.fetchone() == (True,)
    one.close()


def test_settings_of_the_database_do_no_harm(
    sink: ReadTables, admin: psycopg.Connection, database: Database
) -> None:
    """Where transactions are serializable by default, two who write one document would fail."""
    admin.execute(
        f"alter database {database.name} set default_transaction_isolation = serializable"
    )
    made = sink.create_generation(HOTELS)
    with psycopg.connect(database.dsn) as other:
        other.execute(
            f"insert into read_models.{made.index} (_id, _routing, _version) values ('1', '', 1)"
        )
        with ThreadPoolExecutor(1) as threads:
            one = sink.writer()
            writing = threads.submit(one.write, [written(made.index, "1", 2, "{}")])
            until(lambda: admin.execute(WAITING).fetchone() == (1,), 60, "it waits for the other")
            other.commit()
            assert writing.result(60).stale == []
    one.close()


def test_names_that_others_have_are_refused(
    sink: ReadTables, admin: psycopg.Connection, database: Database
) -> None:
    """A relation that isn't ours, a read model of another pipeline, a name that doesn't fit."""
    sink.publish(sink.create_generation(HOTELS))
    other = read_tables(database.dsn, "other")
    with pytest.raises(SinkError, match="belongs to pipeline 'shop'"):
        other.preflight([HOTELS])
    other.close()
    admin.execute("create table read_models.rooms (id int)")
    for name, why in (("rooms", "is no read model"), ("r" * 57, "can't be the name")):
        with pytest.raises(SinkError, match=why):
            sink.preflight([replace(HOTELS, name=name)])


@pytest.mark.parametrize("index", ["nothing", "name; drop table x", "using gin (name)"])
def test_indexes_are_tried_before_anything_is_made(
    sink: ReadTables, admin: psycopg.Connection, index: str
) -> None:
    """A mistake is said in PostgreSQL's words, and nothing is left of the trial."""
    with pytest.raises(SinkError, match="does not take the table of read model 'hotels'"):
        sink.preflight([replace(HOTELS, indexes=(index,))])
    assert admin.execute("select to_regnamespace('read_models')").fetchone() == (None,)


def test_after_a_failover_a_generation_is_another_one(private_postgres: StartPostgres) -> None:
    """Its copy may lack what was durable: nobody goes on with it, now or at a later start."""
    primary = private_postgres()
    with standby_of(primary) as standby:
        sink = read_tables(dsn_of_both(primary, standby))
        sink.preflight([HOTELS])
        made = sink.create_generation(HOTELS)
        with psycopg.connect(primary.dsn) as connection:
            wait_replayed(standby, flushed(connection))
        fail_over(primary, standby)
        one = sink.writer()
        with pytest.raises(StartAgainError, match="history"):
            until(lambda: _wrote(one, made.index), 60, "the standby is the primary")
        sink.preflight([HOTELS])
        found = sink.find_generation(made.index)
        assert found is not None
        assert found != made.uuid
        with pytest.raises(SinkError, match="under us"):
            sink.publish(made)
        sink.drop_generation(made)
        assert sink.find_generation(made.index) is None
        one.close()
        sink.close()


def _wrote(one: Writer, index: str) -> bool:
    try:
        one.write([written(index, "1", 1, "{}")])
    except RetryError:
        return False
    return True


def test_a_read_table_is_no_source(sink: ReadTables, database: Database) -> None:
    """It would feed itself."""
    made = sink.create_generation(HOTELS)
    config = PostgresConfig.model_validate({"type": "postgres", "dsn": database.dsn})
    source = PostgresSource(config, pipeline="loop")
    relations = source.describe([TableRequest(f"read_models.{made.index}")])
    with pytest.raises(SourceError, match="is a read table that cdc-daemon writes"):
        source.prepare(relations)
    source.close()
