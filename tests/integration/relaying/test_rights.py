"""What a relay may do in Kafka: what is lacking is said, before a start and while it runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.generators.daemons import daemons
from tests.integration.relaying.conftest import StartRelay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from tests.conftest import Database, StartKafka
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.relaying.conftest import Relayed

WAIT_SECONDS = 60


def rule(
    kind: ResourceType,
    name: str,
    operation: AclOperation = AclOperation.ALL,
    permission: AclPermissionType = AclPermissionType.ALLOW,
) -> AclBinding:
    """What the user `relay` may do with everything whose name begins so."""
    pattern = ResourcePatternType.PREFIXED
    return AclBinding(kind, name, pattern, "User:relay", "*", operation, permission)


class Guarded(NamedTuple):
    """A Kafka that knows users, and a relay that may do nothing there."""

    admin: AdminClient
    relay: Relayed

    def allow(self, *rules: AclBinding) -> None:
        """Make rules."""
        for made in self.admin.create_acls([*rules]).values():
            made.result(WAIT_SECONDS)

    def forget(self, taken: AclBinding) -> None:
        """Take a rule back."""
        same = AclBindingFilter(
            *(taken.restype, taken.name, taken.resource_pattern_type, taken.principal),
            *(taken.host, taken.operation, taken.permission_type),
        )
        for left in self.admin.delete_acls([same]).values():
            left.result(WAIT_SECONDS)


@pytest.fixture
def guarded(
    private_kafka: StartKafka, database: Database, hotels: psycopg.Connection, tmp_path: Path
) -> Iterator[Guarded]:
    """It isn't started."""
    assert not hotels.closed
    server = private_kafka(users=("relay",))
    password = server.client_settings("relay")["sasl.password"]
    sasl = {"mechanism": "PLAIN", "user": "relay", "password": password}
    sink = {"type": "kafka", "bootstrap_servers": server.bootstrap_servers, "sasl": sasl}
    with daemons(database.dsn, sink, tmp_path) as make:
        relay = StartRelay(make, tmp_path.name, server)(start=False)
        yield Guarded(AdminClient(server.client_settings()), relay)


def test_rights_that_are_lacking_stop_it_and_nothing_is_lost(
    guarded: Guarded, hotels: psycopg.Connection
) -> None:
    """`check` says it, a start ends with it, and so does a daemon that runs when they are taken."""
    relay = guarded.relay
    daemon, prefix = relay.daemon, relay.prefix
    command = [sys.executable, "-m", "cdc_daemon", "check", str(daemon.file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 4
    assert "kafka-acls" in checked.stdout
    assert_stops(daemon)
    guarded.allow(
        rule(ResourceType.TOPIC, prefix),
        rule(ResourceType.TRANSACTIONAL_ID, "cdc-daemon"),
        rule(ResourceType.GROUP, "cdc-daemon"),
    )
    daemon.start()
    daemon.wait_until()
    hotels.execute("insert into hotel values (1, 'before')")
    daemon.catch_up()
    taken = rule(ResourceType.TOPIC, prefix, AclOperation.WRITE, AclPermissionType.DENY)
    guarded.allow(taken)
    hotels.execute("insert into hotel values (2, 'after')")
    assert daemon.wait(2 * WAIT_SECONDS) == 4
    guarded.forget(taken)
    daemon.start()
    daemon.wait_until()
    daemon.catch_up()
    assert [one["after"]["id"] for one in relay.events("public.hotel")] == [1, 2]


def assert_stops(daemon: RunningDaemon) -> None:
    """A start ends, and says what to do."""
    daemon.start()
    assert daemon.wait(WAIT_SECONDS) == 4
    assert "kafka-acls" in daemon.tail()
