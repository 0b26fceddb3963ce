"""What the server reads for each change, by its own counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.generators.conditions import wait_until
from tests.generators.outbox_rows import Added
from tests.integration.outbox.conftest import ITEM

if TYPE_CHECKING:
    from tests.integration.outbox.conftest import Connection, MakeOutbox

READ_BEFORE = 2000
CHANGES = 100
PER_CHANGE = 4
"""It is counted, then read; and what nobody has cleaned away yet may lie on the same page."""
WAIT_SECONDS = 60
OTHERS = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
ROWS_READ = """
select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int from pg_stat_user_tables
where schemaname = 'cdc_daemon' and relname like 'change%'
"""


def test_what_was_read_is_not_read_again(connection: Connection, make_outbox: MakeOutbox) -> None:
    """A change costs the same however many lie before it, of which the server has no statistics."""
    connection.execute(ITEM)
    source = make_outbox("item")
    keys = "insert into item select id, 'a' from generate_series(1, %s) id"
    connection.execute(keys, [READ_BEFORE])
    added = Added(source, "item")
    added.begin()
    for key in range(CHANGES):
        connection.execute("update item set note = 'b' where id = %s", [key + 1])
        added.follow()
    source.close()
    assert wait_until(lambda: number(connection, OTHERS) == 0, WAIT_SECONDS)
    assert len(added.changes) == CHANGES
    assert CHANGES <= number(connection, ROWS_READ) < PER_CHANGE * CHANGES


def number(connection: Connection, query: str) -> int:
    """What a query of one number gives."""
    [found] = connection.execute(query).fetchall()
    return int(found[0])
