"""Who may use an embedded Kafka: anybody, or users with passwords who may what they were given.

And how they connect: in plain, or by TLS with certificates of the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

ADMINISTRATOR = "admin"
"""May everything; the broker itself logs in as this one."""
PASSWORD = "embedded"  # noqa: S105 - of every user: nothing to keep from people of this machine
LOGIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"


class KafkaTls(NamedTuple):
    """PEM files that the server's account can read."""

    certificate: Path
    """The server's key (PKCS 8), and its certificate, for 127.0.0.1."""
    authority: Path
    """The certificate that has signed that one, and those of clients."""


class Access(NamedTuple):
    """How clients are let in."""

    users: tuple[str, ...] = ()
    tls: KafkaTls | None = None

    @property
    def protocol(self) -> str:
        """What the listener of clients speaks."""
        return ("SASL_" if self.users else "") + ("SSL" if self.tls else "PLAINTEXT")

    def broker_settings(self) -> dict[str, Any]:
        """The lines of server.properties for it."""
        protocol = self.protocol
        common = {
            "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:PLAINTEXT",
            "security.inter.broker.protocol": protocol,
        }
        return {**common, **self._for_users(), **self._for_tls()}

    def _for_users(self) -> dict[str, str]:
        """Lets these users in, who may nothing yet."""
        if not self.users:
            return {}
        known = " ".join(f'user_{name}="{PASSWORD}"' for name in (ADMINISTRATOR, *self.users))
        login = f'{LOGIN_MODULE} required username="{ADMINISTRATOR}" password="{PASSWORD}" {known};'
        return {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The controller's own listener knows no users.
            "super.users": f"User:{ADMINISTRATOR};User:ANONYMOUS",
            "sasl.enabled.mechanisms": "PLAIN",
            "sasl.mechanism.inter.broker.protocol": "PLAIN",
            f"listener.name.{self.protocol.lower()}.plain.sasl.jaas.config": login,
        }

    def _for_tls(self) -> dict[str, Any]:
        if self.tls is None:
            return {}
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.tls.certificate,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.tls.authority,
            # Whoever shows a certificate must have one of the authority's.
            "ssl.client.auth": "requested",
        }

    def client_settings(self, name: str) -> dict[str, str]:
        """What librdkafka needs beside the address, to be `name`."""
        if self == ANYBODY:
            return {}
        settings = {"security.protocol": self.protocol}
        if self.users:
            settings |= {
                "sasl.mechanism": "PLAIN",
                "sasl.username": name,
                "sasl.password": PASSWORD,
            }
        if self.tls is not None:
            settings["ssl.ca.location"] = str(self.tls.authority)
        return settings


ANYBODY = Access()
