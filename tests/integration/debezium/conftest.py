"""The real Debezium beside our relay, on one database and one Kafka."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psycopg
import pytest

from tests.generators.daemons import daemons
from tests.generators.debezium import ConnectServer, Followed, debezium
from tests.generators.debezium_compared import Event, events, is_of, payload
from tests.generators.running_daemon import until
from tests.generators.topics import make_topics, records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cdc_daemon import embedded
    from tests.conftest import Database

SENTINEL = "create table sentinel (id int primary key)"
LAST = "public.sentinel"
"""What comes to its topic is behind everything else."""
PUBLISHES_GENERATED = 180000
"""From here on a publication may have generated columns, as ours has."""


class Written(NamedTuple):
    """What both have written of the same statements."""

    ours: list[Event]
    theirs: list[Event]


class RunBoth(Protocol):
    """Runs statements while both follow."""

    def __call__(
        self,
        tables: Sequence[str],
        statements: Sequence[str],
        settings: Mapping[str, str],
        *,
        existing: bool = False,
        **sink: Any,
    ) -> Written:
        """`settings` are Debezium's, `sink` is ours; the tables are there.

        `existing`: with the rows that they have by now.
        """


@pytest.fixture(scope="session")
def connect(kafka: embedded.KafkaServer) -> Iterator[ConnectServer]:
    """Kafka Connect with Debezium's connector: it takes seconds to start, so tests share it."""
    with debezium(kafka.bootstrap_servers) as server:
        yield server


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """To the test's database."""
    with psycopg.connect(database.dsn, autocommit=True) as opened:
        opened.execute(SENTINEL)
        yield opened


@pytest.fixture
def run_both(
    connect: ConnectServer,
    kafka: embedded.KafkaServer,
    database: Database,
    connection: psycopg.Connection,
    tmp_path: Path,
) -> RunBoth:
    """Both begin, statements are run, and what they came to is read."""

    def run(
        tables: Sequence[str],
        statements: Sequence[str],
        settings: Mapping[str, str],
        *,
        existing: bool = False,
        **sink: Any,
    ) -> Written:
        all_tables = [*tables, LAST]
        ours, theirs = (Topics(kafka, name, all_tables) for name in ("ours", "theirs"))
        make_topics(kafka.bootstrap_servers, theirs.names)
        _publish(connection, theirs.prefix, all_tables)
        followed = Followed(database.dsn, theirs.prefix)
        given = {"type": "kafka", "bootstrap_servers": kafka.bootstrap_servers}
        with daemons(database.dsn, given, tmp_path) as make:
            relay = {"tables": all_tables, "snapshot": "initial" if existing else "never"}
            daemon = make({}, sink={"topic_prefix": ours.prefix, **sink}, relay=relay)
            with connect.following(followed, settings):
                daemon.wait_until()
                for statement in [*statements, "insert into sentinel values (1)"]:
                    connection.execute(statement.encode())
                connect.wait(theirs.has_last, followed)
                until(ours.has_last, 60.0, "our relay is behind the last statement")
                return Written(ours.all(), theirs.all())

    return run


class Topics:
    """Those of one of the two."""

    def __init__(self, kafka: embedded.KafkaServer, whose: str, tables: Sequence[str]) -> None:
        self._kafka = kafka
        self.prefix = f"{whose}_{uuid.uuid4().hex[:8]}"
        self.names = [self._name(table) for table in tables]
        self.names.append(f"{self.prefix}.transaction")

    def _name(self, table: str) -> str:
        return re.sub(r"[^\w.]", "_", f"{self.prefix}.{table}", flags=re.ASCII)

    def has_last(self) -> bool:
        """Whether everything is there."""
        return bool(records(self._kafka.bootstrap_servers, [self._name(LAST)]))

    def all(self) -> list[Event]:
        """Everything but the last, whose transaction may not have been said to be over."""
        found = events(records(self._kafka.bootstrap_servers, self.names), self.prefix)
        (last,) = (one for one in found if one["topic"].endswith(LAST))
        number = payload(last["value"])["source"]["txId"]
        return [one for one in found if one is not last and not is_of(one, number)]


def _publish(connection: psycopg.Connection, name: str, tables: Sequence[str]) -> None:
    """Debezium's publication has what ours has: its sequence numbers count what is published."""
    quoted = ", ".join('"' + table.replace(".", '"."') + '"' for table in tables)
    generated = connection.info.server_version >= PUBLISHES_GENERATED
    options = " with (publish_generated_columns = stored)" if generated else ""
    connection.execute(f"create publication {name} for table {quoted}{options}".encode())
