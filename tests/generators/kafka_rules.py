"""Rules (ACLs) of a Kafka: what `kafka-acls` would make of a command that people are shown."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from cdc_daemon.embedded.kafka_users import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cdc_daemon import embedded

WAIT_SECONDS = 60
KINDS = {
    "--topic": ResourceType.TOPIC,
    "--group": ResourceType.GROUP,
    "--transactional-id": ResourceType.TRANSACTIONAL_ID,
}


class Secured(NamedTuple):
    """A Kafka that speaks TLS and knows users."""

    server: embedded.KafkaServer
    certificates: Path

    def section(self, user: str) -> dict[str, Any]:
        """How it is reached."""
        return {
            "bootstrap_servers": self.server.bootstrap_servers,
            "tls": {"ca": str(self.certificates / "authority.pem")},
            "sasl": {"mechanism": "PLAIN", "user": user, "password": PASSWORD},
        }

    def run(self, commands: Iterable[str]) -> None:
        """Give rights, as these commands do."""
        admin = AdminClient(self.server.client_settings())
        rules = [one for command in commands for one in bindings(command)]
        for made in admin.create_acls(rules).values():
            made.result(WAIT_SECONDS)

    def take_back(self, commands: Iterable[str]) -> None:
        """Take back the rights that these commands have given."""
        admin = AdminClient(self.server.client_settings())
        filters = [
            AclBindingFilter(
                *(one.restype, one.name, one.resource_pattern_type, one.principal),
                *(one.host, one.operation, one.permission_type),
            )
            for command in commands
            for one in bindings(command)
        ]
        for left in admin.delete_acls(filters).values():
            left.result(WAIT_SECONDS)


def bindings(command: str) -> list[AclBinding]:
    """What `kafka-acls` would make of its arguments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--operation", action="append")
    parser.add_argument("--resource-pattern-type", default="literal")
    for name in ("--bootstrap-server", "--allow-principal", *KINDS):
        parser.add_argument(name)
    parser.add_argument("--add", action="store_true")
    said = vars(parser.parse_args(shlex.split(command)[1:]))
    ((kind, name),) = [
        (kind, said[option[2:].replace("-", "_")])
        for option, kind in KINDS.items()
        if said[option[2:].replace("-", "_")]
    ]
    pattern = ResourcePatternType[said["resource_pattern_type"].upper()]
    return [
        AclBinding(
            *(kind, name, pattern, said["allow_principal"], "*"),
            AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()],
            AclPermissionType.ALLOW,
        )
        for operation in said["operation"]
    ]
