"""What could be missed or gained: triggers, rights, values, one reader."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from cdc_daemon.client import outbox
from cdc_daemon.errors import (
    SchemaChangedError,
    SettingError,
    SlotInUseError,
    SourceError,
    StartAgainError,
)
from cdc_daemon.ports import TableRequest
from connectors.outbox import OutboxSource
from connectors.outbox.config import OutboxConfig
from connectors.outbox.installing import find_installed, owner_reasons
from connectors.outbox.objects import reader_rights
from connectors.postgres.database import Database as DatabaseOfSource
from tests.generators.outbox_parts import clean, write_parts
from tests.generators.outbox_rows import Added
from tests.generators.outboxes import install_outbox
from tests.generators.running_daemon import until
from tests.integration.outbox.conftest import ITEM, PIPELINE

if TYPE_CHECKING:
    from cdc_daemon.events import Relation
    from tests.conftest import Database
    from tests.integration.outbox.conftest import Connection, MakeOutbox


def test_a_lacking_or_disabled_trigger_is_refused(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """With what to run."""
    connection.execute(ITEM)
    source = make_outbox("item", install=False)
    relations = source.describe([TableRequest("item")])
    with pytest.raises(SourceError, match=r"no outbox in schema cdc_daemon.*outbox install"):
        source.prepare(relations)
    made = make_outbox("item")
    made.prepare(relations)
    connection.execute("alter table item disable trigger all")
    with pytest.raises(SourceError, match="is disabled"):
        made.prepare(relations)


def test_a_trigger_that_was_disabled_meanwhile_is_noticed(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """While it is followed, and by the next start."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    before = added.source.memberships(added.relations)
    connection.execute(
        "alter table item disable trigger all; insert into item values (1, 'missed'); "
        'alter table item enable always trigger "0_cdc_daemon_row"; '
        'alter table item enable always trigger "0_cdc_daemon_truncate"'
    )
    with pytest.raises(StartAgainError, match="altered"):
        until(lambda: added.source.read(0.2) and False, 60, "it is noticed")
    assert added.source.memberships(added.relations) != before


def test_what_is_replicated_is_seen(connection: Connection, make_outbox: MakeOutbox) -> None:
    """Sessions whose changes fire no ordinary trigger."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("set session_replication_role = replica")
    connection.execute("insert into item values (1, 'a')")
    connection.execute("truncate item")
    connection.execute("insert into item values (2, 'b')")
    added.follow()
    added.read_all()
    assert added.rows == {2: ["b"]}


def test_partitions_fire_whatever_is_set(connection: Connection, make_outbox: MakeOutbox) -> None:
    """Those that were there and those that come; one whose trigger is altered is noticed."""
    connection.execute(
        "create table item (id int primary key, note text) partition by range (id); "
        "create table low partition of item for values from (0) to (100)"
    )
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("create table high partition of item for values from (100) to (200)")
    connection.execute("set session_replication_role = replica")
    connection.execute("insert into item values (1, 'a'), (101, 'b')")
    added.follow()
    assert set(added.rows) == {1, 101}
    connection.execute(
        "alter table low disable trigger all; insert into item values (2, 'missed'); "
        'alter table low enable always trigger "0_cdc_daemon_row"'
    )
    with pytest.raises(SchemaChangedError, match=r"of partition public\.low was altered"):
        until(lambda: added.source.read(0.2) and False, 60, "it is noticed")


def test_nobody_installs_for_a_table_of_somebody_else(
    database: Database, connection: Connection
) -> None:
    """The functions would run what that one has made of a type, with more rights."""
    role = f"o_{database.name}"
    connection.execute(f"create role {role}; {ITEM}; alter table item owner to {role}")
    looked_at = DatabaseOfSource(database.dsn, "test")
    [oid] = [each.table.oid for each in looked_at.candidates(described(looked_at))[0]]
    installed = find_installed(looked_at.queries(), "cdc_daemon", PIPELINE)
    [reason] = owner_reasons(looked_at.queries(), installed, [oid])
    assert role in reason
    looked_at.close()
    connection.execute(f"drop table item; drop role {role}")


def described(database: DatabaseOfSource) -> list[Relation]:
    """The one table."""
    return database.describe([TableRequest("item")])


def test_a_role_that_only_reads_can_follow(
    database: Database, connection: Connection, make_outbox: MakeOutbox
) -> None:
    """With the rights that the command gives it, cleaning included."""
    connection.execute(ITEM)
    install_outbox(database.dsn, PIPELINE, ["item"])
    role = f"d_{database.name}"
    statement = sql.SQL("create role {} login password {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(role)))
    connection.execute(f"grant select on item to {role}")
    connection.execute(reader_rights("cdc_daemon", role).encode())
    dsn = make_conninfo(database.dsn, user=role, password=role)
    added = Added(make_outbox("item", install=False, dsn=dsn), "item")
    added.begin()
    write_parts(connection, added)
    until(lambda: clean(added, connection) == 1, 60, "but for the one that is written")
    assert len(added.rows) == 3
    added.source.close()
    connection.execute(f"drop owned by {role}; drop role {role}")


def test_a_second_reader_is_refused(connection: Connection, make_outbox: MakeOutbox) -> None:
    """Until the first one has ended."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    place = added.begin()
    other = make_outbox("item", reader_wait="0s")
    relations = other.describe([TableRequest("item")])
    with pytest.raises(SlotInUseError, match="another daemon"):
        other.start(relations, place)
    added.source.close()
    until(lambda: other.held_by() is None, 60, "the place is free")
    other.start(relations, place)


def test_applications_write_the_outbox(connection: Connection, make_outbox: MakeOutbox) -> None:
    """In their own transactions; what isn't of its type is unreadable, and the others go on."""
    connection.execute(
        "create table item (id int primary key, note text, price numeric(10, 2), mood text[])"
    )
    added = Added(make_outbox(written_by_applications=["item"]), "item")
    added.begin()
    with connection.transaction():
        outbox.add(connection, "public.item", row={"id": 1, "note": "a", "price": 1.5})
        outbox.add(connection, "public.item", row={"id": 2, "note": "b", "mood": ["x"]})
    with pytest.raises(ValueError, match="row"):
        outbox.add(connection, "public.item")
    added.follow()
    assert added.rows == {1: ["a", 1.5, None], 2: ["b", None, ["x"]]}
    outbox.add(connection, "public.item", row={"id": 3, "price": "much", "note": "c"})
    outbox.add(connection, "public.nothing", row={"id": 3})
    outbox.add(connection, "public.item", row={"id": 4, "note": "d"}, key={"id": 1})
    outbox.add(connection, "public.item", key={"id": 2})
    added.follow()
    added.read_all()
    assert added.rows == {3: ["c", "invalid_value", None], 4: ["d", None, None]}
    outbox.clear(connection, "public.item")
    added.follow()
    assert added.rows == {}


def test_values_of_applications_are_those_of_the_row(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """Whatever Python has in their place: the same row, written and noted."""
    connection.execute(
        "create table item (id int primary key, raw bytea, rate float8, price numeric, "
        "span interval, at timestamptz, ip inet)"
    )
    columns = ("id", "raw", "rate", "price", "span", "at", "ip")
    row = (
        *(1, b"\x00\xff", math.nan, Decimal("1.50"), timedelta(days=-1, seconds=3)),
        *(datetime(2026, 5, 1, 12, tzinfo=UTC), ip_address("10.0.0.1")),
    )
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("insert into item values (%s, %s, %s, %s, %s, %s, %s)", row)
    added.follow()
    by_trigger = dict(added.rows)
    outbox.clear(connection, "item")
    added.follow()
    assert added.rows == {}
    outbox.add(connection, "item", row=dict(zip(columns, row, strict=True)))
    added.follow()
    assert added.rows == by_trigger


def test_applications_name_tables_as_mappings_do(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """One of the schema public needs no schema, however many are written in one transaction."""
    connection.execute(f"{ITEM}; create schema other; create table other.item (id int primary key)")
    added = Added(make_outbox(written_by_applications=["item"]), "item")
    added.begin()
    with connection.transaction():
        outbox.add(connection, "item", row={"id": 1, "note": "first"})
        outbox.add(connection, "public.item", row={"id": 1, "note": "second"})
        outbox.add(connection, "item", row={"id": 1, "note": "third"})
        outbox.add(connection, "other.item", row={"id": 2})
        outbox.add(connection, "item", row={"id": 3, "note": "c"})
        outbox.add(connection, "item", row={"id": "none", "note": "d"})
    added.follow()
    assert added.rows == {1: ["third"], 3: ["c"], "invalid_value": ["d"]}
    outbox.clear(connection, "item")
    added.follow()
    assert added.rows == {}


def test_a_table_that_is_left_to_applications_needs_no_trigger(
    database: Database, connection: Connection, make_outbox: MakeOutbox
) -> None:
    """A role that may only insert into the outbox writes it, and what it leaves out isn't there."""
    connection.execute(ITEM)
    role = f"a_{database.name}"
    connection.execute(f"create role {role} login password '{role}'")
    added = Added(make_outbox(written_by_applications=["public.item"]), "item")
    connection.execute(
        f"grant all on item to {role}; grant usage on schema cdc_daemon to {role}; "
        f"grant insert on cdc_daemon.change to {role}; "
        f"grant usage on sequence cdc_daemon.change_id to {role}"
    )
    added.begin()
    with psycopg.connect(make_conninfo(database.dsn, user=role, password=role)) as application:
        application.execute("insert into item values (1, 'a'), (2, 'forgotten')")
        outbox.add(application, "public.item", row={"id": 1, "note": "a"})
    added.follow()
    assert added.rows == {1: ["a"]}
    triggers = "select count(*) from pg_trigger where not tgisinternal"
    assert connection.execute(triggers).fetchone() == (0,)
    added.source.close()
    connection.execute(f"drop owned by {role}; drop role {role}")


def test_who_notes_a_table_is_a_part_of_how_it_is_followed(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """Where triggers take over from the application, or it from them, the table is read anew."""
    connection.execute(ITEM)
    by_triggers = make_outbox("item")
    by_application = make_outbox("item", written_by_applications=["item"])
    relations = by_triggers.describe([TableRequest("item")])
    assert by_triggers.prepare(relations).keys() == by_application.prepare(relations).keys()
    assert by_triggers.prepare(relations) != by_application.prepare(relations)


def test_a_table_that_nobody_maps_cannot_be_left_to_applications(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """It is mistyped, with the one that is meant; and a table that is left out needs a trigger."""
    connection.execute(f"{ITEM}; create table other (id int primary key)")
    source = make_outbox(written_by_applications=["itm", "other"])
    relations = source.describe([TableRequest("item"), TableRequest("other")])
    with pytest.raises(SettingError, match=r"names the table itm.*did you mean item"):
        source.prepare(relations)
    source = make_outbox(written_by_applications=["other"])
    with pytest.raises(SourceError, match=r"table public\.item has no trigger"):
        source.prepare(relations)


def test_a_row_that_is_too_large_has_its_table_read_again(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """The change says that the table isn't what it was, and has no values."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    note = "insert into cdc_daemon.change (relation, op) values ('item'::regclass, 'X')"
    connection.execute(note)  # as the trigger does: a row of that size takes gigabytes
    added.follow()
    [change] = added.changes
    assert change.relation.stands_for is added.relations[0]


def test_columns_that_cannot_be_noted_are_refused(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """Where they are mapped; and tables without a key."""
    connection.execute("create table item (id int primary key, note text, many jsonb[])")
    connection.execute("create table plain (id int)")
    source = make_outbox()
    with pytest.raises(SourceError, match=r"column many of table public.item"):
        source.prepare(source.describe([TableRequest("item")]))
    with pytest.raises(SourceError, match="no trigger"):
        source.prepare(source.describe([TableRequest("item", ("id", "note"))]))
    with pytest.raises(SourceError, match=r"no primary key.*replica identity full"):
        source.prepare(source.describe([TableRequest("plain")]))


def test_another_pipeline_takes_another_schema(
    database: Database, connection: Connection, make_outbox: MakeOutbox
) -> None:
    """The outbox is one reader's."""
    connection.execute(ITEM)
    make_outbox("item")
    config = OutboxConfig.model_validate({"type": "outbox", "dsn": database.dsn})
    other = OutboxSource(config, pipeline="other")
    with pytest.raises(SourceError, match=r"Choose another name in source\.schema"):
        other.prepare(other.describe([TableRequest("item")]))
    other.close()
