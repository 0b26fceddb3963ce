"""The `source:` section of an outbox."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    field_serializer,
    field_validator,
    model_validator,
)

from cdc_daemon.ports import RetentionBounds
from cdc_daemon.quantities import ByteSize, Duration
from connectors.postgres.columnrules import ColumnRule
from connectors.postgres.dsn import identifier, redact, require_dsn

DEFAULT_SCHEMA: Final = "cdc_daemon"
MOST_SCHEMA_BYTES: Final = 40
"""Triggers are named after it, with a few letters more, and a name has 63 bytes."""
POLL_SECONDS: Final = 0.1
"""A look is one small statement; a tenth of what read models are behind by default."""
WARN_BYTES: Final = 1_000_000_000
CRITICAL_BYTES: Final = 10_000_000_000
"""As for the log that a replication slot keeps."""


def _schema(value: str) -> str:
    if any(letter in value for letter in "'\"\\$"):
        raise ValueError("expected a name without quotes, backslashes and dollar signs")
    if len(value.encode()) > MOST_SCHEMA_BYTES:
        raise ValueError(f"expected a name of at most {MOST_SCHEMA_BYTES} bytes")
    return identifier(value)


class KeptConfig(BaseModel):
    """How much the outbox may keep on the server's disk before it is called alarming."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn: ByteSize = Field(
        default=WARN_BYTES, description="From here on the log of the daemon warns, once."
    )
    critical: ByteSize = Field(
        default=CRITICAL_BYTES, description="From here on it warns again, and alerts page."
    )

    @model_validator(mode="after")
    def _rises(self) -> KeptConfig:
        if any(low >= high for low, high in pairwise((self.warn, self.critical))):
            raise ValueError("expected `warn` below `critical`")
        return self

    def bounds(self) -> RetentionBounds:
        """The steps."""
        return RetentionBounds(self.warn, self.critical)


class OutboxConfig(BaseModel):
    """Follow a PostgreSQL database by an outbox table that triggers write into."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    can_hold_commits: ClassVar[bool] = False
    """`consistency.strong` can't be had: there is no standby that commits could wait for."""

    type: Literal["outbox"] = Field(description="The connector: `outbox`.")
    dsn: SecretStr = Field(
        description="A libpq connection string, `postgresql://user:password@host:5432/database` "
        "or `host=... dbname=...`, with any libpq setting (TLS, timeouts, several hosts). The role "
        "needs no REPLICATION."
    )
    # Named `in_schema` here: `schema` is a method of pydantic's models.
    in_schema: Annotated[str, AfterValidator(_schema)] = Field(
        default=DEFAULT_SCHEMA,
        alias="schema",
        description="The schema of the outbox, which `cdc-daemon outbox install` makes. One "
        "pipeline, one schema.",
    )
    # Off: commits that notify are flushed one after the other, on the whole server.
    notify: StrictBool = Field(
        default=False,
        description="Let commits wake the daemon (NOTIFY), where few come at the same time: each "
        "then waits for the one before it, and writers get several times slower. `false`: the "
        "daemon looks every `poll_interval`.",
    )
    poll_interval: Duration = Field(
        default=POLL_SECONDS,
        gt=0,
        description="How often the daemon looks whether there is something, where nothing wakes "
        "it.",
    )
    kept: KeptConfig = Field(
        default=KeptConfig(),
        description="How much the outbox may keep on the server's disk before it is called "
        "alarming.",
    )
    written_by_applications: list[str] = Field(
        default_factory=list,
        description="Tables of the mapping whose changes the application itself writes into the "
        "outbox. They get no trigger: what the application leaves out is missed.",
    )
    columns: list[ColumnRule] = Field(
        default_factory=list,
        description="Rules that protect columns before a value leaves the connector. Of several "
        "that match a column the first counts.",
    )
    reader_wait: Duration = Field(
        default=60.0,
        description="How long to wait for another daemon of the pipeline that still reads.",
    )

    @property
    def lock(self) -> str:
        """The advisory lock of the one who reads."""
        return f"cdc-daemon outbox {self.in_schema}"

    def is_left_to_applications(self, qualified_name: str) -> bool:
        """Whether the application says what becomes of the table `schema.name`, and no trigger."""
        return not {qualified_name, qualified_name.removeprefix("public.")}.isdisjoint(
            self.written_by_applications
        )

    @field_validator("dsn")
    @classmethod
    def _is_connection_string(cls, value: SecretStr) -> SecretStr:
        require_dsn(value.get_secret_value())
        return value

    @field_serializer("dsn", when_used="json")
    def _shown(self, value: SecretStr) -> str:
        return redact(value.get_secret_value())
