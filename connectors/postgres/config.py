"""The `source:` section of a PostgreSQL source."""

from __future__ import annotations

import re
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
from connectors.postgres.dsn import IDENTIFIER_BYTES, identifier, redact, require_dsn

WARN_WAL_BYTES: Final = 1_000_000_000
"""As much as PostgreSQL keeps anyway between two checkpoints (max_wal_size)."""
CRITICAL_WAL_BYTES: Final = 10_000_000_000
"""Ten times that: more than an ordinary restart, and less than the room of most disks."""

_SLOT: Final = re.compile(r"[a-z0-9_]{1,63}")


def _slot_name(value: str) -> str:
    if not _SLOT.fullmatch(value):
        raise ValueError("expected a slot name: 1 to 63 of a-z, 0-9 and _")
    return value


class PublicationConfig(BaseModel):
    """Which changes the server publishes to the daemon."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(identifier)] | None = Field(
        default=None, description="The publication. Default: `cdc_` and the name of the pipeline."
    )
    manage: StrictBool = Field(
        default=True,
        description="Create and alter the publication. `false`: someone else owns it; it is only "
        "verified, and the SQL that mends it is printed.",
    )


class WalConfig(BaseModel):
    """How much of the server's log (WAL) the slot may keep on the server's disk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn: ByteSize = Field(
        default=WARN_WAL_BYTES, description="From here on the log of the daemon warns, once."
    )
    critical: ByteSize = Field(
        default=CRITICAL_WAL_BYTES, description="From here on it warns again, and alerts page."
    )
    limit: ByteSize | None = Field(
        default=None, description="The most that may be kept. Default: no limit."
    )
    at_limit: Literal["warn", "drop"] = Field(
        default="warn",
        description="What happens at the limit. `drop`: the daemon drops its slot and stops, so "
        "that the server's disk can't fill; the next start loads everything anew.",
    )

    @model_validator(mode="after")
    def _rises(self) -> WalConfig:
        given = [value for name, value in self._steps() if name in self.model_fields_set]
        if any(lower >= higher for lower, higher in pairwise(given)):
            raise ValueError("expected `warn` below `critical`, and `critical` below `limit`")
        if self.at_limit == "drop" and self.limit is None:
            raise ValueError("`at_limit: drop` needs a `limit`")
        return self

    def bounds(self) -> RetentionBounds:
        """The steps; a default that doesn't fit between those that are given is left out."""
        given = {name: value for name, value in self._steps() if name in self.model_fields_set}
        critical = given.get("critical") or self._fitting(
            self.critical, given.get("warn"), self.limit
        )
        warn = given.get("warn") or self._fitting(self.warn, None, critical or self.limit)
        return RetentionBounds(warn, critical, self.limit)

    def _steps(self) -> list[tuple[str, int]]:
        steps = (("warn", self.warn), ("critical", self.critical), ("limit", self.limit))
        return [(name, value) for name, value in steps if value is not None]

    @staticmethod
    def _fitting(value: int, above: int | None, below: int | None) -> int | None:
        fits = (above is None or above < value) and (below is None or value < below)
        return value if fits else None


class TraceConfig(BaseModel):
    """How the trace that a transaction belongs to is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: StrictBool = Field(
        default=False,
        description="By a logical message of the transaction: `select "
        "pg_logical_emit_message(true, 'traceparent', '00-...')`. Every message of the database "
        "then comes over the network.",
    )
    column: Annotated[str, AfterValidator(identifier)] | None = Field(
        default=None,
        description="By the column of this name, of every table in the mapping that has one.",
    )

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to look for."""
        return self.messages or self.column is not None


class PostgresConfig(BaseModel):
    """Follow a PostgreSQL database by logical replication."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    can_be_relayed: ClassVar[bool] = True

    type: Literal["postgres"] = Field(description="The connector: `postgres`.")
    dsn: SecretStr = Field(
        description="A libpq connection string, `postgresql://user:password@host:5432/database` "
        "or `host=... dbname=...`, with any libpq setting (TLS, timeouts, several hosts)."
    )
    primary_dsn: SecretStr | None = Field(
        default=None,
        description="Follow a standby (PostgreSQL 16 or later): `dsn` leads to that one server, "
        "and this to its primary, which is asked for the time, the publication, and a record where "
        "the log stands still. Several hosts: target_session_attrs=read-write.",
    )
    slot: Annotated[str, AfterValidator(_slot_name)] | None = Field(
        default=None,
        description="The replication slot: a-z, 0-9 and _ only. Default: `cdc_` and the name of "
        "the pipeline.",
    )
    failover: StrictBool = Field(
        default=False,
        description="Make the slot one that standbys keep a copy of (PostgreSQL 17 or later), so "
        "that it is still there after a failover.",
    )
    wal: WalConfig = Field(
        default=WalConfig(),
        description="How much of the server's log (WAL) the slot may keep on the server's disk.",
    )
    origin: Literal["any", "none"] = Field(
        default="any",
        description="`none`: leave out what the server itself has from another one by logical "
        "replication (PostgreSQL 16 or later). Its rows are still read as existing rows.",
    )
    publication: PublicationConfig = Field(
        default=PublicationConfig(), description="Which changes the server publishes to the daemon."
    )
    trace: TraceConfig = Field(
        default=TraceConfig(),
        description="How the trace (W3C `traceparent`) that a transaction belongs to is known.",
    )
    columns: list[ColumnRule] = Field(
        default_factory=list,
        description="Rules that protect columns before a value leaves the connector. Of several "
        "that match a column the first counts.",
    )
    slot_wait: Duration = Field(
        default=60.0, description="How long to wait for a slot that another process still holds."
    )
    status_interval: Duration = Field(
        default=10.0, description="How often the server is told how far the daemon is, at least."
    )

    @field_validator("dsn", "primary_dsn")
    @classmethod
    def _is_connection_string(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            require_dsn(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _may_follow_standby(self) -> PostgresConfig:
        if self.primary_dsn is not None and self.failover:
            raise ValueError(
                "`failover` and `primary_dsn` exclude each other: a slot of a standby can't be "
                "copied to others"
            )
        return self

    @field_validator("status_interval")
    @classmethod
    def _is_positive(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("expected a duration above 0 such as 10s")
        return value

    @field_serializer("dsn", "primary_dsn", when_used="json")
    def _shown(self, value: SecretStr | None) -> str | None:
        return None if value is None else redact(value.get_secret_value())

    def slot_name(self, pipeline: str) -> str:
        """The replication slot of `pipeline`."""
        return self.slot or default_name(pipeline)

    def publication_name(self, pipeline: str) -> str:
        """The publication of `pipeline`."""
        return self.publication.name or default_name(pipeline)


def default_name(pipeline: str) -> str:
    """`cdc_` and the pipeline's name, with only the characters that a slot name may have."""
    return ("cdc_" + re.sub(r"[^a-z0-9_]", "_", pipeline.lower()))[:IDENTIFIER_BYTES]
