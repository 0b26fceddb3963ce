"""Tables that somebody takes out of what is streamed while they are relayed: nothing is silent."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    import psycopg

    from tests.integration.relaying.conftest import Relayed, StartRelay

ALL_OPERATIONS = "publish = 'insert, update, delete, truncate'"


def publication(hotels: psycopg.Connection) -> str:
    """The one of the test's database."""
    ((name,),) = hotels.execute("select pubname from pg_publication").fetchall()
    return str(name)


def alter(hotels: psycopg.Connection, how: str) -> None:
    """What a person does to the publication."""
    hotels.execute(f"alter publication {publication(hotels)} {how}".encode())


def assert_same(relay: Relayed, hotels: psycopg.Connection) -> None:
    """What the messages of the table come to is what it has."""
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    found = {row["id"]: row["stars"] for row in relay.rows("public.hotel").values()}
    assert found == dict(hotels.execute("select id, stars from hotel").fetchall())


def assert_said(relay: Relayed, table: str = "public.hotel") -> None:
    """It is announced under the names that a daemon has for it."""
    until(lambda: relay.daemon.events("schema_changed"), 10, "it is noticed")
    (event,) = relay.daemon.events("schema_changed")
    assert event["table"] == table
    assert "taken out of what the source streams" in event["why"]
    until(lambda: relay.daemon.events("table_left_stream"), 10, "a start has seen it")
    assert [one["table"] for one in relay.daemon.events("table_left_stream")] == [table]
    assert relay.daemon.metrics()[f'cdc_schema_changes_total{{table="{table}"}}'] == 1


def test_a_table_that_is_taken_out_and_put_in_again_comes_anew(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """Within one moment: what was changed in between is in no stream, so all its rows come."""
    relay = start_relay(log=True)
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'a', 1), (2, 'b', 1)")
    hotels.execute("insert into room values (1, '1', 1)")
    relay.daemon.catch_up()
    relay.daemon.signal(signal.SIGSTOP)  # it could look between the two
    alter(hotels, "drop table only hotel")
    hotels.execute("update hotel set stars = 2 where id = 1")
    hotels.execute("insert into hotel values (3, 'c', 2)")
    alter(hotels, "add table only hotel")
    relay.daemon.signal(signal.SIGCONT)
    hotels.execute("update hotel set stars = 3 where id = 2")
    assert_said(relay)
    assert_same(relay, hotels)
    of_hotels = [(one["op"], one["after"]["id"]) for one in relay.events("public.hotel")]
    assert of_hotels[:2] == [("c", 1), ("c", 2)]
    # In order: a row that is read before its newest change is seen comes before that, or not.
    assert set(of_hotels[2:]) <= {("u", 2), ("r", 1), ("r", 2), ("r", 3)}
    assert {("u", 2), ("r", 1), ("r", 3)} <= set(of_hotels[2:])
    assert [one["op"] for one in relay.events("public.room")] == ["c"]


def test_a_table_that_is_taken_out_is_put_in_again(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """By the daemon, which looks after the publication: nobody has to do it."""
    relay = start_relay()
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'a', 1)")
    relay.daemon.catch_up()
    alter(hotels, "drop table only hotel")
    hotels.execute("update hotel set stars = 2")
    assert_said(relay)
    assert_same(relay, hotels)


def test_options_that_were_altered_and_altered_back_are_noticed(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """Updates were left out meanwhile, of each table; without existing rows it is said at least."""
    hotels.execute("insert into hotel values (1, 'a', 1)")
    relay = start_relay()
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    relay.daemon.signal(signal.SIGSTOP)  # it could look between the two
    alter(hotels, "set (publish = 'insert')")
    hotels.execute("update hotel set stars = 2")
    alter(hotels, f"set ({ALL_OPERATIONS})")
    relay.daemon.signal(signal.SIGCONT)
    until(lambda: len(relay.daemon.events("table_left_stream")) == 2, 10, "it is noticed")
    assert_same(relay, hotels)
    assert {one["relayed_anew"] for one in relay.daemon.events("table_left_stream")} == {True}
    assert len(relay.daemon.events("schema_changed")) == 1


def test_without_existing_rows_it_is_said_what_may_lack(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """Nothing can bring it: people are told."""
    relay = start_relay(snapshot="never")
    relay.daemon.wait_until()
    alter(hotels, "drop table only hotel")
    hotels.execute("insert into hotel values (1, 'a', 1)")
    assert_said(relay)
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (2, 'b', 1)")
    relay.daemon.catch_up()
    assert [one["after"]["id"] for one in relay.events("public.hotel")] == [2]
    (event,) = relay.daemon.events("table_left_stream")
    assert event["relayed_anew"] is False


def test_a_publication_of_others_stops_it_where_the_table_lacks(
    start_relay: StartRelay, hotels: psycopg.Connection
) -> None:
    """As at a start, with the SQL that puts it in; then all its rows come."""
    hotels.execute(
        "create publication theirs for table only hotel, only room "
        "with (publish_via_partition_root = true)"
    )
    source = {"publication": {"name": "theirs", "manage": False}}
    relay = start_relay(source=source)
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'a', 1)")
    relay.daemon.catch_up()
    alter(hotels, "drop table only hotel")
    hotels.execute("update hotel set stars = 2")
    assert relay.daemon.wait(60) == 3
    assert 'add table only "public"."hotel"' in relay.daemon.said()
    assert len(relay.daemon.events("schema_changed")) == 1
    alter(hotels, "add table only hotel")
    relay.daemon.start()
    assert_same(relay, hotels)
