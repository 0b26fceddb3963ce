"""The outbox is kept in parts, and emptied a part at a time: never what isn't durable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from cdc_daemon.events import ChangeKind
from connectors.outbox.objects import PART_CHANGES
from tests.generators.outbox_parts import clean, kept_parts, write_parts
from tests.generators.outbox_rows import Added
from tests.generators.running_daemon import until
from tests.integration.outbox.conftest import ITEM

if TYPE_CHECKING:
    from tests.conftest import Database
    from tests.integration.outbox.conftest import Connection, MakeOutbox

CLEANED_SECONDS = 240
"""Only a reader that waits for the writer isn't done by then."""


@pytest.fixture
def added(connection: Connection, make_outbox: MakeOutbox) -> Added:
    """What is read of a table with an outbox."""
    connection.execute(ITEM)
    return Added(make_outbox("item"), "item")


def test_what_is_not_durable_stays(connection: Connection, added: Added) -> None:
    """Whatever was read: it comes again."""
    begun = added.begin()
    write_parts(connection, added)
    added.source.confirm(received=begun, durable=begun, searchable=begun)
    added.read_all()
    assert kept_parts(connection) == 3
    first = added.commits[-1].position
    connection.execute("delete from item")
    added.follow()
    added.source.start(added.relations, first)
    changes = len(added.changes)
    added.follow()
    assert [change.kind for change in added.changes[changes:]] == [ChangeKind.DELETE] * 3


def test_a_part_that_somebody_uses_is_left_for_later(
    database: Database, connection: Connection, added: Added
) -> None:
    """The others are emptied, nobody waits for the writer or for us, and nothing is lost."""
    added.begin()
    write_parts(connection, added)
    with psycopg.connect(database.dsn) as writer, ThreadPoolExecutor(1) as reader:
        writer.execute("select setval('cdc_daemon.change_id', 100)")
        writer.execute("insert into item values (50)")  # uses the first part until it commits
        connection.execute("select setval('cdc_daemon.change_id', %s)", [2 * PART_CHANGES + 100])
        cleaned = reader.submit(until, lambda: clean(added, connection) == 2, 60, "one is empty")
        try:
            cleaned.result(CLEANED_SECONDS)
            with psycopg.connect(database.dsn) as other:
                other.execute("set lock_timeout = '10s'")
                other.execute("lock table cdc_daemon.change_0 in row exclusive mode")
        finally:
            writer.commit()  # a reader that has waited for it goes on, and its thread ends
        [(kept,)] = connection.execute("select count(*) from cdc_daemon.change_0")
        assert kept == 2, "what was read, and what was being written"
    added.read_all()
    assert set(added.rows) == {0, 1, 2, 50}
    until(lambda: clean(added, connection) == 1, 60, "it is emptied as well")


def test_a_part_that_was_in_use_is_emptied_though_nobody_writes(
    database: Database, connection: Connection, added: Added
) -> None:
    """A dump reads it just then: it is tried again although nothing more is durable."""
    added.begin()
    write_parts(connection, added)
    with psycopg.connect(database.dsn) as dump:
        dump.execute("lock table cdc_daemon.change_0 in access share mode")
        until(lambda: clean(added, connection) == 2, 60, "the other one is empty")
    until(lambda: clean(added, connection) == 1, 60, "it is emptied as well")
