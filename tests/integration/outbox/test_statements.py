"""Whatever statement changes rows, the outbox has it; and it never makes one fail."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.generators.outbox_rows import Added
from tests.integration.outbox.conftest import ITEM

if TYPE_CHECKING:
    from tests.integration.outbox.conftest import Connection, MakeOutbox


def require_same(added: Added, connection: Connection, table: str = "item") -> None:
    """What was read is what the table holds."""
    added.read_all()
    names = ", ".join(column.name for column in added.relations[0].columns)
    found = connection.execute(f"select {names} from {table}").fetchall()
    assert added.rows == {key: list(rest) for key, *rest in found}


def test_statements_of_every_kind(connection: Connection, make_outbox: MakeOutbox) -> None:
    """COPY, MERGE, ON CONFLICT, many rows at once, TRUNCATE and what comes after it."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    with connection.cursor().copy("copy item from stdin") as copy:
        for number in range(5000):
            copy.write_row((number, f"note {number}"))
    require_same(added, connection)
    connection.execute("update item set note = note || '!' where id % 3 = 0")
    connection.execute("delete from item where id % 7 = 0")
    require_same(added, connection)
    connection.execute(
        "insert into item values (1, 'x'), (70000, 'new') on conflict (id) do update set note = 'y'"
    )
    connection.execute("insert into item values (1, 'z') on conflict do nothing")
    connection.execute(
        "merge into item using (values (2), (80000)) as v (k) on id = k "
        "when matched then delete when not matched then insert values (k, 'merged')"
    )
    require_same(added, connection)
    with connection.transaction():
        connection.execute("truncate item")
        connection.execute("insert into item values (1, 'after')")
    require_same(added, connection)
    assert added.rows == {1: ["after"]}


def test_keys_that_are_swapped(connection: Connection, make_outbox: MakeOutbox) -> None:
    """Within one transaction, and between two reads."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("insert into item values (1, 'a'), (2, 'b')")
    with connection.transaction():
        for statement in ("id = 9 where id = 1", "id = 1 where id = 2", "id = 2 where id = 9"):
            connection.execute(f"update item set {statement}")
    require_same(added, connection)
    assert added.rows == {1: ["b"], 2: ["a"]}


@pytest.mark.parametrize("name", ["a_other", "zz_other", "0"])
def test_rows_that_triggers_change_again(
    connection: Connection, make_outbox: MakeOutbox, name: str
) -> None:
    """Triggers of the application fire before and after ours, and change rows of the statement."""
    connection.execute(ITEM)
    connection.execute(
        "create function again() returns trigger language plpgsql as $$ begin "
        "if pg_trigger_depth() = 1 and new.note not like '%%!' then "
        "update item set note = note || '!' where id between new.id and new.id + 1; end if; "
        "return null; end $$; "
        f'create trigger "{name}" after insert or update on item '
        "for each row execute function again()"
    )
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("insert into item select g, 'x' from generate_series(1, 5) g")
    require_same(added, connection)
    connection.execute("update item set note = 'y' where id < 4")
    require_same(added, connection)
    assert all(note.endswith("!") for (note,) in added.rows.values())


def test_rows_that_are_gone_by_the_end_of_the_statement(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """A trigger deletes what was inserted or updated; a key that was changed is gone as well."""
    connection.execute(ITEM)
    connection.execute(
        "create function drops() returns trigger language plpgsql as $$ begin "
        "if new.note = 'gone' then delete from item where id = new.id; end if; "
        "return null; end $$; "
        'create trigger "0" after insert or update on item for each row execute function drops()'
    )
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("insert into item values (1, 'gone'), (2, 'stays'), (3, 'stays')")
    connection.execute("update item set id = 4, note = 'gone' where id = 3")
    require_same(added, connection)
    assert added.rows == {2: ["stays"]}


def test_rows_that_cascades_change(connection: Connection, make_outbox: MakeOutbox) -> None:
    """Foreign keys that delete, set null and update; also within the same table."""
    connection.execute(
        "create table item (id int primary key, "
        "parent int references item on delete cascade on update cascade, "
        "other int references item on delete set null)"
    )
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute(
        "insert into item values (1, null, null), (2, 1, null), (3, 2, null), (4, null, 2)"
    )
    connection.execute("update item set id = 10 where id = 1")
    require_same(added, connection)
    connection.execute("delete from item where id = 10")
    require_same(added, connection)
    assert added.rows == {4: [None, None]}


def test_partitions_that_come_later(connection: Connection, make_outbox: MakeOutbox) -> None:
    """Rows that move between partitions, partitions of partitions, and columns in another order."""
    connection.execute(
        "create table item (id int primary key, note text) partition by range (id); "
        "create table low partition of item for values from (0) to (100)"
    )
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute(
        "create table high (note text, gone int, id int not null); "
        "alter table high drop column gone; "
        "alter table item attach partition high for values from (100) to (200); "
        "create table deep partition of item for values from (200) to (300) "
        "partition by range (id); "
        "create table deeper partition of deep for values from (200) to (300)"
    )
    connection.execute("insert into item values (1, 'a'), (101, 'b'), (201, 'c')")
    require_same(added, connection)
    connection.execute("update item set id = 150 where id = 1")
    connection.execute("update high set note = 'direct' where id = 101")
    connection.execute("update item set id = 2 where id = 201")
    require_same(added, connection)
    assert added.rows == {150: ["a"], 101: ["direct"], 2: ["c"]}
    connection.execute("truncate item")
    require_same(added, connection)


def test_columns_that_the_server_computes(connection: Connection, make_outbox: MakeOutbox) -> None:
    """Stored ones are in the row; large values always come whole."""
    connection.execute(
        "create table item (id int primary key, note text, "
        "doubled text generated always as (note || note) stored)"
    )
    connection.execute("alter table item alter column note set storage external")
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("insert into item values (1, repeat('long', 10000))")
    connection.execute("update item set id = 2")
    require_same(added, connection)


def test_the_schema_of_the_application_changes_freely(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """Every change of a table succeeds, within a transaction that writes it as well."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item", ["id"])
    added.begin()
    with connection.transaction():
        for statement in (
            "insert into item values (1, 'a')",
            "alter table item add column extra int default 5",
            "update item set extra = 6",
            "alter table item drop column note",
            "alter table item rename column extra to other",
            "alter table item alter column other type text",
            "insert into item values (2, 'x')",
            "alter table item drop constraint item_pkey",
            "alter table item add primary key (id, other)",
            "update item set other = 'y' where id = 2",
            "alter table item alter column id type bigint",
            "truncate item",
            "insert into item values (3, 'x')",
            "alter table item rename to thing",
            "delete from thing",
            "insert into thing values (4, 'x')",
            "alter table thing rename to item",
        ):
            connection.execute(statement)
    connection.execute("drop table item")


def test_a_writer_needs_no_rights_on_the_outbox(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """And sees nothing of it."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    role = f"w_{connection.info.dbname}"
    connection.execute(f"create role {role}")
    connection.execute(f"grant all on item to {role}")
    connection.execute(f"set role {role}")
    connection.execute("insert into item values (1, 'a')")
    connection.execute("update item set id = 2")
    connection.execute("truncate item")
    connection.execute("insert into item values (3, 'b')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from cdc_daemon.change")
    connection.execute("reset role")
    require_same(added, connection)
    connection.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize(
    "shows", [{"is_open": True}, {"missing": frozenset({"made"})}], ids=["every", "named"]
)
@pytest.mark.parametrize("is_begun", [False, True])
def test_a_column_that_is_added_and_filled_is_not_read_without_it(
    connection: Connection, make_outbox: MakeOutbox, shows: dict[str, Any], *, is_begun: bool
) -> None:
    """After the catalog was looked at, and before the stream begins, or later."""
    connection.execute(f"{ITEM}; insert into item values (1, 'a')")
    added = Added(make_outbox("item"), "item")
    added.relations = [replace(added.relations[0], **shows)]
    added.source.prepare(added.relations)
    place = added.source.create_place()
    if is_begun:
        added.source.start(added.relations, place)
    with connection.transaction():
        connection.execute("alter table item add made text")
        connection.execute("update item set made = 'new'")
    if not is_begun:
        added.source.start(added.relations, place)
    added.follow()
    assert [change.relation.misfit for change in added.changes if change.relation.misfit]


def test_a_column_that_nobody_shows_is_of_no_matter(
    connection: Connection, make_outbox: MakeOutbox
) -> None:
    """What is read is what is shown."""
    connection.execute(ITEM)
    added = Added(make_outbox("item"), "item")
    added.begin()
    connection.execute("alter table item add made text; insert into item values (1, 'a', 'b')")
    added.follow()
    assert added.rows == {1: ["a"]}
    assert not any(change.relation.misfit for change in added.changes)
