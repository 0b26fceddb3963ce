"""Protected columns of a real server: what is read, what is sent, and rules that are mistyped."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from cdc_daemon.errors import SettingError
from cdc_daemon.events import UNCHANGED
from cdc_daemon.ports import TableRequest
from tests.generators.existing_rows import existing_rows
from tests.integration.postgres.conftest import Connection, describe, read_commits, start

if TYPE_CHECKING:
    from tests.integration.postgres.conftest import MakeRole, MakeSource

SALT = "0123456789abcdef"
RULES: list[dict[str, Any]] = [
    {"match": "body", "hash": {"salt": SALT}},
    {"match": "public.page.password", "exclude": True},
]
LARGE = "(select string_agg(md5(i::text), '') from generate_series(1, 500) i)"


@pytest.fixture(autouse=True)
def page(connection: Connection) -> None:
    """A table with one row, whose text is stored out of line."""
    connection.execute("create table page (id int primary key, n int, body text, password text)")
    connection.execute(f"insert into page values (1, 0, {LARGE}, 'secret')")


def digest(connection: Connection) -> bytes:
    """What is to be seen of the large text."""
    row = connection.execute("select body from page").fetchone()
    assert row is not None
    return b'"%b"' % hashlib.sha256((SALT + row[0]).encode()).hexdigest().encode()


def test_a_large_value_that_was_not_sent_stays_unsent(
    connection: Connection, make_source: MakeSource
) -> None:
    """It is the hash of nothing; with replica identity full the old row has the digest."""
    source = make_source(columns=RULES)
    start(source, "page")
    connection.execute("update page set n = 1")
    connection.execute("alter table page replica identity full")
    connection.execute("update page set n = 2")
    first, second = read_commits(source, 2)
    assert first.new == [b"1", b"1", UNCHANGED]
    assert second.new == [b"1", b"2", UNCHANGED]
    assert second.old == [b"1", b"1", digest(connection)]


def test_an_excluded_column_is_not_read(
    connection: Connection, make_role: MakeRole, make_source: MakeSource
) -> None:
    """A role that may not select it can load the others."""
    name, dsn = make_role()
    grant = "grant select (id, n, body, ctid) on page to {}"
    connection.execute(sql.SQL(grant).format(sql.Identifier(name)))
    connection.execute("create publication pub for table page with (publish_via_partition_root)")
    source = make_source(dsn, columns=RULES, publication={"manage": False})
    relations = describe(source, "page")
    source.prepare(relations)
    source.create_place()
    assert existing_rows(source, relations[0]) == [[b"1", b"0", digest(connection)]]


def test_rules_are_checked_against_all_tables_of_the_first_look(make_source: MakeSource) -> None:
    """A column that is named and isn't there is a mistake; later looks may be at single tables."""
    rules = [*RULES, {"match": "page.pasword", "mask": "x"}]
    with pytest.raises(SettingError) as caught:
        make_source(columns=rules).describe([TableRequest("page")])
    ((place, why),) = caught.value.mistakes
    assert place == ("columns", 2, "match")
    assert why.endswith("did you mean page.password?")
    source = make_source(columns=RULES)
    (page,) = source.describe([TableRequest("page")])
    assert page.excluded == ("password",)
    source.describe([])
