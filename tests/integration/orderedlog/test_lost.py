"""What the log has lost is loaded anew, and what it never had is refused: nothing in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from tests.generators.forked import command
from tests.generators.running_daemon import until
from tests.integration.orderedlog.conftest import HOTELS, TABLES
from tests.integration.orderedlog.test_daemon import require_same, write

if TYPE_CHECKING:
    import psycopg

    from tests.generators.rest import Rest
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.orderedlog.conftest import Relays

DROP = """
select pg_drop_replication_slot(slot_name) from pg_replication_slots
where database = current_database()
"""
GENERATIONS = 2
"""Of the first load: one for each read model."""


def loaded_anew(reader: RunningDaemon, times: int) -> bool:
    """Whether all read models were loaded and published so often since the first time."""
    made = [event["index"] for event in reader.events("generation_created")]
    shown = {event["index"] for event in reader.events("published")}
    return len(made) == GENERATIONS * (times + 1) and shown.issuperset(made)


def test_what_the_log_has_lost_is_loaded_anew(
    relays: Relays, connection: psycopg.Connection[Any], rest: Rest
) -> None:
    """Retention has passed a reader that was away; then the topic is deleted."""
    relay = relays.relay()
    relay.wait_until()
    reader = relays.reader(log={"format": "json"})
    reader.wait_until()
    reader.kill()
    write(connection, 1)
    relay.catch_up()
    admin = AdminClient({"bootstrap.servers": relays.kafka.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(relays.log, 0, -1)]).values():
        future.result(30)
    write(connection, 2)
    relay.catch_up()
    reader.start()
    until(lambda: loaded_anew(reader, 1), 60, "it is loaded anew")
    write(connection, 3)
    reader.catch_up()
    require_same(rest, connection)
    relay.terminate()
    for future in admin.delete_topics([relays.log]).values():
        future.result(30)
    assert reader.wait(90) == 3
    write(connection, 4)
    relay.start()
    relay.wait_until()
    reader.start()
    until(lambda: loaded_anew(reader, 2), 60, "it is loaded anew")
    write(connection, 5)
    reader.catch_up()
    require_same(rest, connection)


def test_a_relay_that_has_lost_its_slot_breaks_the_log(
    relays: Relays, connection: psycopg.Connection[Any], rest: Rest
) -> None:
    """Changes are in no log: readers load anew, one that runs, and one that was away and ended."""
    initial = {"tables": list(TABLES), "snapshot": "initial"}
    relay = relays.relay(relay=initial)
    relay.wait_until()
    reader = relays.reader(log={"format": "json"})
    reader.wait_until()
    for times in (1, 2):
        reader.catch_up()
        lose_slot(relay, connection, times)
        if times > 1:
            assert reader.terminate() == 0
        relay.start()
        relay.wait_until()
        if times > 1:
            reader.start()
        until(lambda: loaded_anew(reader, times), 60, "it is loaded anew")  # noqa: B023 - at once
        write(connection, times + 5)
        reader.wait_until()
        reader.catch_up()
        require_same(rest, connection)
    assert len(relay.events("changes_lost")) == 2


def lose_slot(relay: RunningDaemon, connection: psycopg.Connection[Any], number: int) -> None:
    """And what is written meanwhile."""
    assert relay.terminate() == 0
    connection.execute(DROP)
    write(connection, number)


def test_what_the_log_never_had_is_refused(relays: Relays) -> None:
    """A topic that isn't there, a table that isn't relayed, other rules: each with what to do."""
    reader = relays.reader(start=False)
    require_refused(reader, f"there is no topic {relays.log}, which source.log names")
    relays.relay(relay={"tables": ["public.hotel"], "snapshot": "never"}).wait_until()
    require_refused(reader, "the log doesn't have table public.room")
    names = {"names": HOTELS["names"]}
    reader = relays.reader(names, start=False)
    checked = command("check", str(reader.file))
    assert checked.returncode == 0, checked.stdout
    rule = {"match": "public.hotel.na*", "mask": {"length": 3}}
    reader = relays.reader(names, start=False, source={"columns": [rule]})
    require_refused(reader, "the rules of source.columns for name aren't those of the relay")


def require_refused(reader: RunningDaemon, why: str) -> None:
    """By the start, and by what looks beforehand."""
    ended = command("run", str(reader.file))
    assert ended.returncode == 3
    assert why in ended.stderr
    checked = command("check", "--output", "json", str(reader.file))
    assert checked.returncode != 0
    assert why in checked.stdout
