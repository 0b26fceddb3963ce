"""Who may use an embedded Kafka: anybody, or users with passwords who may what they were given."""

from __future__ import annotations

ADMINISTRATOR = "admin"
"""May everything; the broker itself logs in as this one."""
PASSWORD = "embedded"  # noqa: S105 - of every user: nothing to keep from people of this machine
LOGIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"


def protocol(users: tuple[str, ...]) -> str:
    """What the listener of clients speaks."""
    return "SASL_PLAINTEXT" if users else "PLAINTEXT"


def broker_settings(users: tuple[str, ...]) -> dict[str, str]:
    """The lines of server.properties that let these users in, who may nothing yet."""
    if not users:
        return {}
    known = " ".join(f'user_{name}="{PASSWORD}"' for name in (ADMINISTRATOR, *users))
    login = f'{LOGIN_MODULE} required username="{ADMINISTRATOR}" password="{PASSWORD}" {known};'
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The controller's own listener knows no users.
        "super.users": f"User:{ADMINISTRATOR};User:ANONYMOUS",
        "listener.security.protocol.map": "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "security.inter.broker.protocol": "SASL_PLAINTEXT",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": login,
    }


def client_settings(users: tuple[str, ...], name: str) -> dict[str, str]:
    """What librdkafka needs beside the address, to be `name`."""
    if not users:
        return {}
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": name,
        "sasl.password": PASSWORD,
    }
