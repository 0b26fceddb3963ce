"""The `source:` section of a projector: where the ordered log of a relay is."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field, SecretStr, field_serializer, field_validator

from connectors.kafka.session import KafkaSection
from connectors.postgres.columnrules import ColumnRule
from connectors.postgres.dsn import redact, require_dsn


class RelayConfig(KafkaSection):
    """Follow the ordered log that a relay writes to Kafka; read existing rows from PostgreSQL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holds_commits_with: ClassVar[str] = "name its relay: source.relay"
    """What `consistency.strong` lacks."""

    type: Literal["relay"] = Field(description="The connector: `relay`.")
    dsn: SecretStr = Field(
        description="The database that the relay follows, as a libpq connection string: tables, "
        "existing rows and the clock are read there. The role needs SELECT, and no REPLICATION."
    )
    log: str = Field(
        min_length=1, description="The topic of the ordered log: `sink.log` of the relay."
    )
    relay: str | None = Field(
        default=None,
        min_length=1,
        description="The pipeline that is the relay (its `name`), where commits are to wait for it "
        "until searches of this one find them: with `consistency.strong` here, and there.",
    )
    columns: list[ColumnRule] = Field(
        default_factory=list,
        description="Rules that protect columns before a value leaves the connector: the same as "
        "those of the relay. Of several that match a column the first counts.",
    )

    @property
    def can_hold_commits(self) -> bool:
        """Commits wait for the relay, which is to be known by its name."""
        return self.relay is not None

    @field_validator("dsn")
    @classmethod
    def _is_connection_string(cls, value: SecretStr) -> SecretStr:
        require_dsn(value.get_secret_value())
        return value

    @field_serializer("dsn", when_used="json")
    def _shown(self, value: SecretStr) -> str:
        return redact(value.get_secret_value())
