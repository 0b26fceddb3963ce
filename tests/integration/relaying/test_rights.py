"""What a relay may do in Kafka: what is lacking is said, before a start and while it runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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

from cdc_daemon.embedded.kafka_users import KafkaTls
from tests.generators.certificates import certificates
from tests.generators.daemons import daemons
from tests.generators.forked import command
from tests.generators.kafka_rules import Secured
from tests.generators.read_tables import TableSearch
from tests.generators.running_daemon import until
from tests.integration.relaying.conftest import StartRelay

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.conftest import Database, StartKafka
    from tests.generators.running_daemon import RunningDaemon
    from tests.integration.relaying.conftest import Relayed

WAIT_SECONDS = 60
PAGE = (Path(__file__).parents[3] / "docs/how-to/least-privileges.md").read_text(encoding="utf-8")


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


RELAYED, WAITED_FOR, FOLLOWED, SHARED, _ = (
    block.replace("\\\n", " ").splitlines()
    for block in re.findall(r"```sh\n(kafka-acls.*?)```", PAGE, re.DOTALL)
)
"""Commands of the page: for a relay, for one whose commits wait for projectors, for a reader of its
log, for replicas; those for who reads topics are tried elsewhere."""


@pytest.fixture
def secured(private_kafka: StartKafka) -> Iterator[Secured]:
    """Users may what the page gives them."""
    with certificates("server") as folder:
        tls = KafkaTls(folder / "server.both", folder / "authority.pem")
        made = Secured(private_kafka(users=("cdc_relay", "cdc_reader"), tls=tls), folder)
        made.run([*RELAYED, *FOLLOWED, *SHARED])
        yield made


SHOP: dict[str, Any] = {
    "name": "shop",
    "folder": "relay",
    "sink": {"topic_prefix": "shop", "log": "shop.log"},
    "relay": {"tables": ["public.hotel"]},
}
"""A relay whose log replicas read."""


def test_the_rules_of_the_page_are_enough(
    secured: Secured, database: Database, hotels: psycopg.Connection, tmp_path: Path
) -> None:
    """Over TLS: for a relay, and for a replica that reads its log and writes read tables."""
    hotels.execute("insert into hotel values (1, 'before')")
    sink = {"type": "kafka", **secured.section("cdc_relay")}
    tables = {"type": "postgres", "dsn": database.dsn}
    with (
        daemons(database.dsn, sink, tmp_path) as make_relay,
        daemons(database.dsn, tables, tmp_path) as make_reader,
    ):
        relay = make_relay(
            {},
            **SHOP,
            start=False,
        )
        require_checked(relay)
        relay.start()
        relay.wait_until()
        require_checked(relay)
        source = {"type": "relay", "log": "shop.log", **secured.section("cdc_reader")}
        names = {"names": {"from": "public.hotel", "fields": ["id", "name"]}}
        reader = make_reader(names, name="hotels", folder="reader", source=source, start=False)
        reader.options = ("--role", "projector")
        require_checked(reader)
        reader.start()
        reader.wait_until()
        hotels.execute("insert into hotel values (2, 'after')")
        relay.catch_up()
        reader.catch_up()
        shown = TableSearch(database.dsn).hits("names")
        assert sorted(hit["_source"]["name"] for hit in shown) == ["after", "before"]


def test_rights_of_replicas_that_lack_are_said_beforehand(
    secured: Secured, database: Database, hotels: psycopg.Connection, tmp_path: Path
) -> None:
    """In one line, with the commands that give them; one daemon alone doesn't need them."""
    assert not hotels.closed
    sink = {"type": "kafka", **secured.section("cdc_relay")}
    tables = {"type": "postgres", "dsn": database.dsn}
    with (
        daemons(database.dsn, sink, tmp_path) as make_relay,
        daemons(database.dsn, tables, tmp_path) as make_reader,
    ):
        make_relay(
            {},
            **SHOP,
        ).wait_until()
        source = {"type": "relay", "log": "shop.log", **secured.section("cdc_reader")}
        names = {"names": {"from": "public.hotel", "fields": ["id", "name"]}}
        reader = make_reader(names, name="hotels", folder="reader", source=source, start=False)
        assert replicas(reader) == [("ok", [])]
        secured.take_back([one for one in SHARED if "--group" in one])
        [(level, [lacking])] = replicas(reader)
        assert (level, "--group cdc-daemon.hotels." in lacking) == ("warning", True)
        secured.take_back([one for one in SHARED if "--topic" in one])
        [(level, commands)] = replicas(reader)
        assert (level, len(commands)) == ("warning", 2)
        secured.run(commands)
        assert replicas(reader) == [("ok", [])]
        reader.options = ("--role", "projector")
        reader.start()
        reader.wait_until()


def test_rules_for_commits_that_wait_are_enough(
    secured: Secured, database: Database, hotels: psycopg.Connection, tmp_path: Path
) -> None:
    """A relay hears with them how far searches of projectors are; without them, and why not."""
    assert not hotels.closed
    sink = {"type": "kafka", **secured.section("cdc_relay")}
    tables = {"type": "postgres", "dsn": database.dsn}
    with (
        daemons(database.dsn, sink, tmp_path) as make_relay,
        daemons(database.dsn, tables, tmp_path) as make_reader,
    ):
        relay = make_relay(
            {},
            **SHOP,
            consistency={"strong": {"projectors": ["hotels"]}},
        )
        relay.wait_until()
        reader = make_reader(
            {"names": {"from": "public.hotel", "fields": ["id", "name"]}},
            name="hotels",
            folder="reader",
            source={
                "type": "relay",
                "log": "shop.log",
                "relay": "shop",
                **secured.section("cdc_reader"),
            },
            consistency={"strong": {}},
            start=False,
        )
        reader.options = ("--role", "projector")
        reader.start()
        reader.wait_until()

        def heard() -> Any:
            return relay.status()["projectors"]["hotels"]

        until(lambda: heard()["trouble"], WAIT_SECONDS, "it isn't heard")
        assert not heard()["whole"]
        secured.run(WAITED_FOR)
        until(lambda: heard()["whole"], WAIT_SECONDS, "it is heard")
        secured.take_back(WAITED_FOR)
        until(lambda: heard()["trouble"], WAIT_SECONDS, "it is heard no longer")


def replicas(reader: RunningDaemon) -> list[tuple[str, list[str]]]:
    """What `check` says of the rights of replicas: how bad it is, and the commands."""
    checked = command("check", str(reader.file))
    assert checked.returncode == 0, checked.stdout
    lines = [one for one in checked.stdout.splitlines() if " replicas: " in one]
    return [(one.split()[0], re.findall(r"kafka-acls [^;]*[^;\s]", one)) for one in lines]


def require_checked(daemon: RunningDaemon) -> None:
    """Nothing lacks, as far as `check` sees."""
    checked = command("check", str(daemon.file))
    assert checked.returncode == 0, checked.stdout


def test_a_broker_that_nobody_trusts_is_refused(
    secured: Secured, database: Database, hotels: psycopg.Connection, tmp_path: Path
) -> None:
    """Its certificate is another authority's: the start ends, and says where to look."""
    assert not hotels.closed
    sink = {"type": "kafka", **secured.section("cdc_relay"), "tls": {}}
    with daemons(database.dsn, sink, tmp_path) as make:
        relay = make({}, relay={"tables": ["public.hotel"]})
        assert relay.wait(WAIT_SECONDS) == 4
        assert "Check `tls`: `ca` must be" in relay.tail()
