"""What is done to a published table later can make its UPDATE and DELETE fail: that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import structlog

from tests.conftest import OF_THE_MACHINE
from tests.integration.postgres.conftest import alarms, describe, examined, untouched

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from connectors.postgres import PostgresSource
    from tests.integration.postgres.conftest import Connection

SINCE = 180000
"""Columns can be virtual from this version on."""


@pytest.fixture
def tables(connection: Connection) -> None:
    """Partitioned ones with and without a primary key, and a plain one of either identity."""
    connection.execute("create table keyed (id int primary key) partition by range (id)")
    connection.execute("create table keyed_1 partition of keyed for values from (0) to (10)")
    connection.execute("create table log (id int, n int) partition by range (id)")
    connection.execute("create table log_1 partition of log for values from (0) to (10)")
    connection.execute("create unique index on log (id)")
    connection.execute("alter table log replica identity full")
    connection.execute("alter table log_1 replica identity full")
    connection.execute("create table plain (id int primary key)")
    connection.execute("create table whole (id int primary key, n int)")
    connection.execute("alter table whole replica identity full")


def said_at_start(source: PostgresSource, *tables: str) -> Sequence[MutableMapping[str, Any]]:
    """What the log has of it."""
    with structlog.testing.capture_logs() as logs:
        source.prepare(describe(source, *tables))
    return [entry for entry in logs if entry["event"] == "identity_lost_later"]


@pytest.mark.usefixtures("tables")
def test_a_later_partition_of_a_table_without_a_key(
    connection: Connection, source: PostgresSource
) -> None:
    """Its UPDATE fails, whatever its table and the other partitions have; so there is the SQL."""
    with untouched(connection):
        found = examined(source, "keyed", "log")
    (warned,) = (one for one in found if "partitions inherit no replica identity" in one.message)
    assert (warned.check, warned.level) == ("table public.log", "warning")
    said = said_at_start(source, "keyed", "log")
    (event,) = (each for each in said if "inherit" in each["why"])
    assert (event["log_level"], event["table"]) == ("warning", "public.log")
    connection.execute("create table log_2 partition of log for values from (10) to (20)")
    connection.execute("insert into log values (11, 0)")
    with pytest.raises(psycopg.Error, match="does not have a replica identity"):
        connection.execute("update log set n = 1 where id = 11")
    connection.execute("drop table log_2")
    made = (
        event["sql"].replace("PARTITION", "log_3").replace(" ...", " for values from (10) to (20)")
    )
    connection.execute(made)
    connection.execute("insert into log values (12, 0)")
    connection.execute("update log set n = 1 where id = 12")
    connection.execute("create table keyed_2 partition of keyed for values from (10) to (20)")
    connection.execute("insert into keyed values (11)")
    connection.execute("update keyed set id = 12 where id = 11")


@pytest.mark.usefixtures("tables")
def test_a_virtual_column_that_is_added_to_a_whole_identity(
    connection: Connection, source: PostgresSource
) -> None:
    """It can't be published, so that UPDATE fails; a stored one is."""
    if connection.info.server_version < SINCE:
        pytest.skip(f"{OF_THE_MACHINE}there are none before PostgreSQL 18")
    warned = alarms(source, "plain", "whole")
    assert "table public.plain" not in warned
    assert "virtual generated column" in warned["table public.whole"]
    (event,) = said_at_start(source, "plain", "whole")
    assert (event["log_level"], event["table"]) == ("warning", "public.whole")
    connection.execute("insert into whole values (1, 1)")
    made = event["sql"].replace("COLUMN TYPE", "twice int").replace("(...)", "(n * 2)")
    connection.execute(made)
    connection.execute("update whole set n = 2")
    connection.execute(made.replace("twice", "thrice").removesuffix(" stored"))
    with pytest.raises(psycopg.Error, match=r"virtual|generated|replica identity"):
        connection.execute("update whole set n = 3")
