"""Tables that inherit from a mapped one: nobody follows their rows, and that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tests.integration.postgres.conftest import alarms, describe, untouched

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from connectors.postgres import PostgresSource
    from tests.integration.postgres.conftest import Connection


@pytest.fixture
def city(connection: Connection) -> None:
    """A table with a child and a grandchild, and a partitioned one."""
    connection.execute("create table city (id int primary key, name text)")
    connection.execute("create table capital (state text, primary key (id)) inherits (city)")
    connection.execute('create table "Old One" (primary key (id)) inherits (capital)')
    connection.execute("create table parted (id int primary key) partition by range (id)")
    connection.execute("create table parted_1 partition of parted default")


def said_at_start(source: PostgresSource, *tables: str) -> Sequence[MutableMapping[str, Any]]:
    """What the log has of it."""
    with structlog.testing.capture_logs() as logs:
        source.prepare(describe(source, *tables))
    return [entry for entry in logs if entry["event"] == "children_left_out"]


@pytest.mark.usefixtures("city")
def test_children_are_named_at_the_start_and_by_check(
    connection: Connection, source: PostgresSource
) -> None:
    """Near and far; partitions are parts of their table, and a child without one is like any."""
    with untouched(connection):
        said = alarms(source, "city", "parted", "public.Old One")
    warned = said.pop("table public.city")
    assert not [check for check in said if check.startswith("table ")]
    assert warned.startswith('warning: public."Old One", public.capital inherit from it')
    (event,) = said_at_start(source, "city", "parted", "public.Old One")
    assert (event["log_level"], event["table"]) == ("warning", "public.city")
    assert event["children"] == ['public."Old One"', "public.capital"]
    assert event["why"] in warned


@pytest.mark.usefixtures("city")
def test_a_child_that_is_gone_is_not_named(connection: Connection, source: PostgresSource) -> None:
    """The catalog goes on saying that there may be one."""
    connection.execute('drop table "Old One", capital')
    assert said_at_start(source, "city") == []
