"""What a source refuses: one paragraph that says what to do, and nothing touched."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from cdc_daemon.errors import RetryError, SlotInUseError, SourceError
from cdc_daemon.ports import TableRequest
from connectors.postgres.session import connect
from connectors.postgres.slots import create_slot, drop_slot
from tests.integration.postgres.conftest import (
    Connection,
    MakeRole,
    MakeSource,
    describe,
    examined,
    start,
    untouched,
    with_settings,
)

if TYPE_CHECKING:
    from connectors.postgres import PostgresSource
    from tests.conftest import Database, StartPostgres


PUBLICATION = "create publication pub for table item with (publish_via_partition_root = true)"


@pytest.fixture
def item(connection: Connection) -> None:
    """An ordinary table."""
    connection.execute("create table item (id int primary key, name text)")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"password": "wrong"}, "refuses the connection: .*password authentication failed"),
        ({"user": "nobody_here"}, "refuses the connection"),
        ({"dbname": "no_such_db"}, 'refuses the connection: .*"no_such_db" does not exist'),
        ({"sslmode": "require"}, "refuses the connection: .*does not support SSL"),
    ],
)
def test_what_the_server_refuses_stops(
    database: Database, make_source: MakeSource, settings: dict[str, str], says: str
) -> None:
    """Credentials, database and TLS are for people to mend."""
    source = make_source(with_settings(database.dsn, **settings))
    with pytest.raises(SourceError, match=says) as caught:
        source.describe([])
    assert "source.dsn" in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_a_server_that_is_not_there_is_retried(database: Database, make_source: MakeSource) -> None:
    """It may come back; the message says where we looked."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(RetryError, match=rf"127\.0\.0\.1:{port}.*refused"):
            make_source(with_settings(database.dsn, port=port)).describe([])
    with pytest.raises(RetryError, match=r"no-such-host\.invalid"):
        make_source(with_settings(database.dsn, host="no-such-host.invalid")).describe([])


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:hunter2/x@h/db", "postgresql://u:p@h:hunter2/db", "host=h hunter2"]
)
def test_a_dsn_that_can_not_be_read_is_not_shown(make_source: MakeSource, dsn: str) -> None:
    """What libpq stumbles over may be a piece of the password."""
    with pytest.raises(SourceError, match=r"source\.dsn.*%40") as caught:
        make_source(dsn).describe([])
    assert "hunter2" not in str(caught.value)


@pytest.mark.usefixtures("item")
def test_missing_tables_and_columns_are_named(
    connection: Connection, source: PostgresSource
) -> None:
    """All at once, each with the nearest name, in whatever schema it is."""
    connection.execute('create schema sales; create table sales."Order" (id int primary key)')
    with pytest.raises(SourceError) as caught:
        source.describe([TableRequest(name) for name in ("itm", "public.order", "item", "zzz")])
    assert str(caught.value) == (
        "table itm does not exist; did you mean public.item?; table public.order does not exist; "
        "did you mean sales.Order?; table zzz does not exist"
    )
    with pytest.raises(SourceError, match=r"table item has no column nam; did you mean name\?"):
        source.describe([TableRequest("item", ("id", "nam"))])


@pytest.mark.usefixtures("item")
def test_a_role_without_replication(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """The SQL names the role; nothing is made."""
    name, dsn = make_role("login")
    connection.execute(sql.SQL("grant select on item to {}").format(sql.Identifier(name)))
    source = make_source(dsn)
    with (
        untouched(connection),
        pytest.raises(SourceError, match=f'alter role "{name}" replication'),
    ):
        source.prepare(describe(source, "item"))


def test_missing_rights_are_all_named(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """USAGE on the schema, SELECT on the table, row security: with the SQL for each."""
    connection.execute('create schema "S x"; create table "S x"."T y" (id int primary key, n int)')
    connection.execute('alter table "S x"."T y" enable row level security')
    name, dsn = make_role()
    source = make_source(dsn)
    with untouched(connection), pytest.raises(SourceError) as caught:
        source.prepare(describe(source, "S x.T y"))
    text = str(caught.value)
    for statement in (
        f'grant usage on schema "S x" to "{name}"',
        f'grant select on "S x"."T y" to "{name}"',
        f'alter role "{name}" bypassrls',
    ):
        assert f"Run: {statement}" in text
        connection.execute(statement.encode())
    with pytest.raises(SourceError, match="make the publication"):
        source.prepare(describe(source, "S x.T y"))


@pytest.mark.usefixtures("item")
def test_rights_on_the_mapped_columns_are_enough(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """A role that may read some columns can follow those."""
    name, dsn = make_role()
    role = sql.Identifier(name)
    connection.execute(sql.SQL("grant select (id, ctid) on item to {}").format(role))
    connection.execute(PUBLICATION)
    source = make_source(dsn, publication={"manage": False})
    source.prepare(source.describe([TableRequest("item", ("id",))]))
    with pytest.raises(SourceError, match="grant select"):
        source.prepare(source.describe([TableRequest("item")]))


def test_rights_on_each_partition_are_needed(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """They are read one by one: what is lacking is told before anything is made, by check too."""
    connection.execute("create table item (id int primary key) partition by list (id)")
    connection.execute("create table low partition of item for values in (1)")
    connection.execute('create table "Hi gh" partition of item for values in (2)')
    name, dsn = make_role()
    connection.execute(sql.SQL("grant select on item to {}").format(sql.Identifier(name)))
    source = make_source(dsn)
    with untouched(connection), pytest.raises(SourceError) as caught:
        source.prepare(describe(source, "item"))
    for statement in (
        f'grant select on "public"."low" to "{name}"',
        f'grant select on "public"."Hi gh" to "{name}"',
    ):
        assert f"Run: {statement}" in str(caught.value)
        assert f"Run: {statement}" in messages(source, "item", "table public.item")
        connection.execute(statement.encode())
    with pytest.raises(SourceError, match="make the publication"):
        source.prepare(describe(source, "item"))


def test_a_partition_that_comes_later_needs_no_rights(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """Its rows are streamed: only a load would stop, and `check` says so."""
    connection.execute("create table item (id int primary key) partition by list (id)")
    connection.execute(PUBLICATION)
    name, dsn = make_role()
    role = sql.Identifier(name)
    connection.execute(sql.SQL("grant select on item to {}").format(role))
    source = make_source(dsn, publication={"manage": False})
    source.prepare(describe(source, "item"))
    source.create_place()
    connection.execute("create table late partition of item for values in (1)")
    source.prepare(describe(source, "item"))
    (found,) = [one for one in examined(source, "item") if one.check == "table public.item"]
    assert found.level == "warning"
    assert f'grant select on "public"."late" to "{name}"' in found.message


def messages(source: PostgresSource, table: str, check: str) -> str:
    """What `cdc-daemon check` says of it."""
    return "\n".join(one.message for one in examined(source, table) if one.check == check)


@pytest.mark.usefixtures("item")
def test_the_right_to_places_is_needed(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """Rows are read part by part: whoever may read some columns needs that one too."""
    name, dsn = make_role()
    connection.execute(sql.SQL("grant select (id) on item to {}").format(sql.Identifier(name)))
    source = make_source(dsn)
    (item,) = source.describe([TableRequest("item", ("id",))])
    grant = f'grant select (ctid) on "public"."item" to "{name}"'
    with untouched(connection), pytest.raises(SourceError, match=re.escape(grant)):
        source.prepare([item])


@pytest.mark.usefixtures("item")
def test_a_role_that_does_not_own_the_tables(
    connection: Connection, make_source: MakeSource, make_role: MakeRole
) -> None:
    """The SQL for the owner is printed; run by the owner, `manage: false` is satisfied by it."""
    name, dsn = make_role()
    connection.execute(sql.SQL("grant select on item to {}").format(sql.Identifier(name)))
    source = make_source(dsn)
    relations = describe(source, "item")
    with untouched(connection), pytest.raises(SourceError, match="manage to false") as caught:
        source.prepare(relations)
    script = str(caught.value).partition("\n")[2]
    verifying = make_source(dsn, publication={"manage": False})
    with untouched(connection), pytest.raises(SourceError, match="manage is false") as again:
        verifying.prepare(relations)
    assert script in str(again.value)
    connection.execute(script.encode())
    with untouched(connection):
        verifying.prepare(relations)
        source.prepare(relations)
    start(verifying, "item")


@pytest.mark.parametrize(
    ("ddl", "says"),
    [
        ("create table t (id int)", "no primary key.* alter table .*t.* replica identity full"),
        (
            "create table t (id int primary key deferrable)",
            "is deferrable.*without DEFERRABLE",
        ),
        (
            "create table t (id int primary key); alter table t replica identity nothing",
            "replica identity nothing",
        ),
        (
            (
                "create table t (id int not null); create unique index i on t (id); "
                "alter table t replica identity using index i; drop index i"
            ),
            "its index was dropped",
        ),
        ("create view t as select 1 as id", "t is a view"),
        ("create materialized view t as select 1 as id", "t is a materialized view"),
        (
            (
                "create foreign data wrapper w; create server s foreign data wrapper w; "
                "create foreign table t (id int) server s"
            ),
            "t is a foreign table",
        ),
        ("create unlogged table t (id int primary key)", "unlogged.*alter table .* set logged"),
        (
            (
                "create table t (id int primary key) partition by list (id); "
                "create table p1 partition of t for values in (1); "
                'create table "P 2" partition of t for values in (2); '
                'alter table "P 2" replica identity nothing'
            ),
            'table public.P 2 has no usable .*alter table "public"."P 2" replica identity full',
        ),
        (
            (
                "create table t (id int primary key) partition by list (id); "
                "create unlogged table p1 partition of t for values in (1)"
            ),
            r"table public\.p1 is unlogged.*alter table public\.p1 set logged",
        ),
        (
            (
                "create foreign data wrapper w; create server s foreign data wrapper w; "
                "create table t (id int) partition by list (id); "
                "create foreign table p1 partition of t for values in (1) server s; "
                "alter table t replica identity full"
            ),
            r"partition public\.p1 is a foreign table.*one by one",
        ),
        (
            (
                "create table t (id int) partition by list (id); "
                "create table p1 partition of t for values in (1); "
                "alter table t replica identity full"
            ),
            "table public.p1 has no usable replica identity",
        ),
    ],
)
@pytest.mark.usefixtures("item")
def test_tables_that_can_not_be_followed(
    connection: Connection, source: PostgresSource, ddl: str, says: str
) -> None:
    """Refused before the publication is touched, whatever else is fine."""
    connection.execute("create publication pub for table item")
    connection.execute(ddl.encode())
    with untouched(connection), pytest.raises(SourceError, match=says):
        source.prepare(describe(source, "item", "t"))


def test_a_partition_beside_its_table_is_refused(
    connection: Connection, source: PostgresSource
) -> None:
    """Its changes come as those of the whole table only."""
    connection.execute("create table t (id int primary key) partition by list (id)")
    connection.execute("create table p1 partition of t for values in (1)")
    with untouched(connection), pytest.raises(SourceError, match=r"public.p1 is a partition of"):
        source.prepare(describe(source, "t", "p1"))
    source.prepare(describe(source, "p1"))


@pytest.mark.usefixtures("item")
def test_a_slot_of_someone_else(
    connection: Connection, database: Database, make_source: MakeSource
) -> None:
    """Physical, or of another database: refused, with the SQL that drops it."""
    slot = f"{database.name}_b"
    connection.execute("select pg_create_physical_replication_slot(%s)", [slot])
    source = make_source(slot=slot)
    try:
        with (
            untouched(connection),
            pytest.raises(SourceError, match=f"physical.*pg_drop_replication_slot.'{slot}'"),
        ):
            source.prepare(describe(source, "item"))
        with pytest.raises(SourceError, match="physical"):
            source.place()
    finally:
        connection.execute("select pg_drop_replication_slot(%s)", [slot])
    start(make_source(), "item")
    elsewhere = make_source(with_settings(database.dsn, dbname="postgres"))
    with pytest.raises(SourceError, match=f"pgoutput slot of database {database.name}"):
        elsewhere.place()


@pytest.mark.usefixtures("item")
def test_a_slot_that_stays_in_use(make_source: MakeSource) -> None:
    """After `slot_wait` the process is named, and the exit code is its own."""
    first, second = make_source(), make_source()
    start(first, "item")
    relations = describe(second, "item")
    place = second.place()
    assert place is not None
    attempts = [lambda: second.prepare(relations), lambda: second.start(relations, place)]
    for attempt in (*attempts, second.create_place):
        with pytest.raises(SlotInUseError, match=r"pid \d+ after 1 s") as caught:
            attempt()
        assert caught.value.exit_code == 5
        assert "pg_terminate_backend" in str(caught.value)
    first.close()
    second.prepare(relations)
    second.start(relations, place)


@pytest.mark.usefixtures("item")
def test_a_slot_that_another_daemon_takes_in_between(
    database: Database, connection: Connection, make_source: MakeSource
) -> None:
    """Between a look and what follows it: as one that was in use all the time."""
    with connect(database.dsn, name="test", replication=True) as replication:
        create_slot(replication, database.name, failover=False)
        with pytest.raises(SlotInUseError, match="set standby: true in both"):
            create_slot(replication, database.name, failover=False)
    start(make_source(), "item")
    with pytest.raises(SlotInUseError, match="set standby: true in both"):
        drop_slot(connection, database.name)


def test_a_server_that_is_not_set_up(
    private_postgres: StartPostgres, make_source: MakeSource
) -> None:
    """`wal_level`, and slots used up: both named, with the SQL."""
    server = private_postgres(settings={"wal_level": "replica", "max_replication_slots": 1})
    source = make_source(server.dsn)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("create table item (id int primary key)")
        connection.execute("select pg_create_physical_replication_slot('taken')")
        with untouched(connection), pytest.raises(SourceError) as caught:
            source.prepare(describe(source, "item"))
    text = str(caught.value)
    assert "wal_level is replica" in text
    assert "alter system set wal_level = 'logical'" in text
    assert "all 1 replication slots are taken" in text
    assert "alter system set max_replication_slots = 5" in text
    with pytest.raises(SourceError, match="create the replication slot"):
        source.create_place()
