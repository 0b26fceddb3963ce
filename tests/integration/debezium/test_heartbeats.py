"""Signs of life are those of the real Debezium: keys and values, with and without schemas."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.generators.daemons import daemons
from tests.generators.debezium import WITH_SCHEMAS, WITHOUT_SCHEMAS, Followed
from tests.generators.debezium_compared import Event, events, payload
from tests.generators.running_daemon import until
from tests.generators.topics import end_of, make_topics, records

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from cdc_daemon import embedded
    from tests.conftest import Database
    from tests.generators.debezium import ConnectServer

TABLE = "public.sentinel"
EVERY = {"heartbeat.interval.ms": "200"}
ONLY_OURS = {"publication.autocreate.mode": "filtered", "table.include.list": TABLE}


@pytest.mark.parametrize("schemas", [False, True], ids=["plain", "schemas"])
def test_signs_of_life_are_the_same(
    connect: ConnectServer,
    kafka: embedded.KafkaServer,
    database: Database,
    connection: psycopg.Connection,
    tmp_path: Path,
    *,
    schemas: bool,
) -> None:
    """In a topic of their own, named after the prefix; but for the time."""
    ours, theirs = (f"{whose}_{uuid.uuid4().hex[:8]}" for whose in ("ours", "theirs"))
    make_topics(kafka.bootstrap_servers, [beats(theirs), f"{theirs}.{TABLE}"])
    settings = {**EVERY, **ONLY_OURS, **(WITH_SCHEMAS if schemas else WITHOUT_SCHEMAS)}
    followed = Followed(database.dsn, theirs)
    sink = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers, "heartbeat": "200ms"}
    with connect.following(followed, settings), daemons(database.dsn, sink, tmp_path) as make:
        make({}, sink={"topic_prefix": ours, "schemas": schemas}, relay={"tables": [TABLE]})
        connection.execute("insert into sentinel values (1)")
        connect.wait(lambda: end_of(kafka.bootstrap_servers, beats(theirs)) > 0, followed)
        until(lambda: end_of(kafka.bootstrap_servers, beats(ours)) > 1, 60, "a sign of life")
        assert first(kafka, ours) == first(kafka, theirs)


def beats(prefix: str) -> str:
    """Where they are."""
    return f"__debezium-heartbeat.{prefix}"


def first(kafka: embedded.KafkaServer, prefix: str) -> Event:
    """The first one, at no time."""
    found = events(records(kafka.bootstrap_servers, [beats(prefix)]), prefix)[0]
    assert payload(found["value"])["ts_ms"] > 0
    payload(found["value"])["ts_ms"] = 0
    return found
