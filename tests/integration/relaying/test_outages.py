"""What a relay does while Kafka takes nothing: it waits and says so, or stops and says why."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from tests.generators.running_daemon import until

if TYPE_CHECKING:
    import psycopg

    from cdc_daemon import embedded
    from tests.integration.relaying.conftest import StartRelay

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS") or 2)
LIMIT = {"warn": "4MB", "critical": "8MB", "limit": "20MB", "at_limit": "drop"}
LOST = """
select pg_terminate_backend(active_pid) from pg_replication_slots
where active and database = current_database()
"""
SLOTS = "select slot_name from pg_replication_slots where database = current_database()"
WRITE_LOG = "select pg_logical_emit_message(true, 'test', repeat('x', 1000000))"
CONFIRMED = "select confirmed_flush_lsn::text from pg_replication_slots"


def test_brokers_that_are_away_are_waited_for(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """The slot isn't confirmed meanwhile, the state says it, and nothing is lost or comes twice.

    Also where they are away for longer than a Kafka transaction may take (OUTAGE_SECONDS=20).
    """
    relay = start_relay({"transaction_timeout": "10s"})
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'before')")
    relay.daemon.catch_up()
    kafka.pause()
    hotels.execute("insert into hotel select i, 'meanwhile' from generate_series(2, 500) i")
    relay.daemon.wait_until("waiting")
    status, reason = relay.daemon.health("readyz")
    assert status == 503
    assert "waiting: the sink doesn't take" in reason
    before = hotels.execute(CONFIRMED).fetchall()
    time.sleep(OUTAGE_SECONDS)
    assert hotels.execute(CONFIRMED).fetchall() == before
    assert relay.daemon.health("livez")[0] == 200
    kafka.resume()
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    assert [event["after"]["id"] for event in relay.events("public.hotel")] == list(range(1, 501))


def test_the_limit_of_the_log_holds_while_no_start_comes_through(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """The slot is dropped though the source was lost as well, and Kafka lets nothing begin."""
    relay = start_relay(source={"wal": LIMIT})
    relay.daemon.wait_until()
    kafka.pause()
    hotels.execute(LOST)
    until(lambda: len(relay.daemon.events("start_retry")) >= 2, 120, "a start fails")
    for _ in range(25):
        hotels.execute(WRITE_LOG)
    assert relay.daemon.wait(60) == 3
    assert hotels.execute(SLOTS).fetchall() == []
    assert "20,000,000 are the limit" in relay.daemon.tail()


def test_a_topic_that_was_deleted_is_made_again(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """It is said, the rows that are there come anew, and what changes from then on."""
    relay = start_relay()
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'before')")
    relay.daemon.catch_up()
    topic = f"{relay.prefix}.public.hotel"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(60)
    until(lambda: topic not in admin.list_topics(timeout=60).topics, 30, "the topic is gone")
    hotels.execute("insert into hotel values (2, 'after')")
    until(lambda: relay.daemon.events("topic_made_anew"), 60, "it is said")
    relay.daemon.wait_until()
    relay.daemon.catch_up()
    rows = relay.rows("public.hotel").values()
    assert sorted(row["name"] for row in rows) == ["after", "before"]


def test_a_checkpoint_that_was_deleted_is_no_reason_to_leave_changes_out(
    start_relay: StartRelay, hotels: psycopg.Connection, kafka: embedded.KafkaServer
) -> None:
    """The slot says that something was written: it stops; or all rows are relayed anew."""
    relay = start_relay(snapshot="never")
    relay.daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'before')")
    relay.daemon.catch_up()
    assert relay.daemon.terminate() == 0
    topic = f"{relay.prefix}.checkpoint"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(60)
    until(lambda: topic not in admin.list_topics(timeout=60).topics, 30, "the topic is gone")
    relay.daemon.start()
    assert relay.daemon.wait(60) == 3
    assert "cdc-daemon slot drop" in relay.daemon.tail()
    again = start_relay(folder="again")
    again.daemon.wait_until()
    assert [event["op"] for event in again.events("public.hotel")] == ["c", "r"]
    assert len(again.daemon.events("changes_lost")) == 1
