"""Clients of a Kafka cluster: their settings, their errors as ours, and what they log.

The only module that knows how librdkafka is told things; used wherever this connector connects.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
from confluent_kafka import KafkaError, KafkaException
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from cdc_daemon.errors import CdcError, RetryError
from connectors.messages.tls import BrokerTls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cdc_daemon.errors import SinkError, SourceError

log = structlog.get_logger(__name__)

SESSION_SECONDS: Final = 10
"""A member of a group that is silent for so long is given up: others wait no longer for it."""
RECONNECT_SECONDS: Final = 2
"""The longest pause between two attempts: a broker that is back is found soon."""
METADATA_SECONDS: Final = 15
"""How old what is known of topics may get: one that is made anew is found by then."""
_RIGHTS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_UNUSABLE: Final = _RIGHTS | frozenset(
    {
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INVALID_CONFIG,
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - librdkafka names its own errors so
        KafkaError._INVALID_ARG,  # noqa: SLF001 - the same
        KafkaError._SSL,  # noqa: SLF001 - the same
    }
)
"""What no waiting mends."""


class KafkaSasl(BaseModel):
    """Authenticate by a name and a password."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="As the brokers have it."
    )
    user: str = Field(min_length=1, description="The user.")
    password: SecretStr = Field(description="Its password.")


class KafkaSection(BaseModel):
    """How a cluster is reached: a part of each section that names one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap_servers: str = Field(
        min_length=1,
        description="Brokers to ask first, `kafka-1:9092,kafka-2:9092`: they name the others.",
    )
    tls: BrokerTls | None = Field(default=None, description="Connect by TLS; without it in plain.")
    sasl: KafkaSasl | None = Field(
        default=None, description="Authenticate by a name and a password; without it not at all."
    )
    settings: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="Settings of librdkafka, passed on as they are (`fetch.message.max.bytes`), "
        "but for those that correctness hangs on.",
    )

    @field_validator("settings")
    @classmethod
    def _leaves_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OURS & value.keys()):
            raise ValueError(f"{', '.join(taken)}: the daemon sets that itself")
        return value


OURS: Final = frozenset(
    {
        *("bootstrap.servers", "metadata.broker.list", "client.id", "group.id", "group.protocol"),
        *("enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset"),
        *("isolation.level", "enable.partition.eof", "partition.assignment.strategy"),
        *("transactional.id", "enable.idempotence", "acks", "allow.auto.create.topics"),
        *("security.protocol", "sasl.username", "sasl.password", "sasl.mechanism"),
        *("sasl.mechanisms", "ssl.ca.location", "ssl.key.location", "ssl.certificate.location"),
        *("enable.ssl.certificate.verification", "error_cb", "logger", "stats_cb"),
    }
)
"""Settings that nobody may change: offsets, transactions and groups depend on them, or a part of
the section says them."""


class Heard:
    """What a client has been told beside its calls: why it can't connect, say."""

    def __init__(self) -> None:
        self.unusable: KafkaError | None = None
        """The last one that no waiting mends."""
        self.last: KafkaError | None = None
        self.is_alone = False
        """Whether no broker answers. Who has seen it takes it back."""

    def __call__(self, error: KafkaError) -> None:
        """The client's `error_cb`."""
        self.last = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - as above
            self.is_alone = True
        if error.code() in _UNUSABLE:
            self.unusable = error


class _Log:
    """What librdkafka logs, as a `logging.Logger` that it writes to."""

    def log(self, level: int, message: str, *parts: object) -> None:
        """A line of it: news to who looks for them, and not to who runs the daemon."""
        log.debug("librdkafka", level=level, said=message % parts if parts else message)


def client_settings(section: KafkaSection, client_id: str, heard: Heard) -> dict[str, Any]:
    """What every client of the cluster is made with."""
    protocol = ("SASL_" if section.sasl else "") + ("SSL" if section.tls else "PLAINTEXT")
    return {
        "reconnect.backoff.max.ms": RECONNECT_SECONDS * 1000,
        "topic.metadata.refresh.interval.ms": METADATA_SECONDS * 1000,
        **section.settings,
        "bootstrap.servers": section.bootstrap_servers,
        "client.id": client_id,
        "security.protocol": protocol,
        "allow.auto.create.topics": False,
        **_tls_settings(section.tls),
        **_sasl_settings(section.sasl),
        "error_cb": heard,
        "logger": _Log(),
    }


def _tls_settings(tls: BrokerTls | None) -> dict[str, Any]:
    if tls is None:
        return {}
    files = {
        "ssl.ca.location": tls.ca,
        "ssl.certificate.location": tls.client_cert,
        "ssl.key.location": tls.client_key,
    }
    given = {name: str(file) for name, file in files.items() if file is not None}
    return {**given, "enable.ssl.certificate.verification": tls.verify}


def _sasl_settings(sasl: KafkaSasl | None) -> dict[str, Any]:
    if sasl is None:
        return {}
    return {
        "sasl.mechanism": sasl.mechanism,
        "sasl.username": sasl.user,
        "sasl.password": sasl.password.get_secret_value(),
    }


@contextmanager
def mapped_errors(
    what: str, unusable: type[SourceError | SinkError], heard: Heard | None = None
) -> Iterator[None]:
    """Turn what goes wrong while we `what` into ours: to be tried again, or for a person."""
    try:
        yield
    except KafkaException as error:
        raise mapped(error.args[0], what, unusable, heard) from error


def mapped(
    error: KafkaError, what: str, unusable: type[SourceError | SinkError], heard: Heard | None
) -> CdcError:
    """An error of the client, as one of ours. What it has heard beside may say why."""
    if heard is not None and heard.unusable is not None:
        error = heard.unusable
    said = f"could not {what}: {_said(error, heard)}"
    if error.code() in _UNUSABLE:
        return unusable(f"{said}. {_REMEDIES.get(error.code(), _OTHER_REMEDY)}")
    return RetryError(said, reason=_reason(error))


def _said(error: KafkaError, heard: Heard | None) -> str:
    said = f"{error.str()} ({error.name()})"
    last = None if heard is None else heard.last
    if last is not None and last.code() != error.code():
        said += f"; {last.str()}"
    return said


def _reason(error: KafkaError) -> str:
    timed_out = {KafkaError.REQUEST_TIMED_OUT, KafkaError._TIMED_OUT}  # noqa: SLF001 - as above
    return "timeout" if error.code() in timed_out else "unavailable"


_OTHER_REMEDY: Final = "Check `bootstrap_servers`, `tls`, `sasl` and `settings`"
_SASL_REMEDY: Final = (
    "Check `sasl`: the user, its password, and the mechanism, as the brokers have them"
)
_GIVE: Final = "kafka-acls --add --allow-principal User:NAME"
_REMEDIES: Final[Mapping[int, str]] = {
    KafkaError._SSL: "Check `tls`: `ca` must be of the authority that has signed the certificates "  # noqa: SLF001
    "of the brokers, which must be for the names in `bootstrap_servers`",
    KafkaError._AUTHENTICATION: _SASL_REMEDY,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED: _SASL_REMEDY,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: _SASL_REMEDY,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: f"Run: {_GIVE} --operation Read --operation "
    "DescribeConfigs --topic TOPIC (to publish: --operation Write --operation Create)",
    KafkaError.GROUP_AUTHORIZATION_FAILED: f"Run: {_GIVE} --operation Read --group GROUP",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: f"Run: {_GIVE} --operation Describe --cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: f"Run: {_GIVE} --operation Write "
    "--operation Describe --transactional-id ID",
}
