"""The `sink:` section of read tables in PostgreSQL."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_serializer,
    field_validator,
)

from cdc_daemon.quantities import Duration
from connectors.postgres.dsn import identifier, redact, require_dsn

SCHEMA: Final = "read_models"
"""A schema of their own, so that rights on it are rights on all read tables and on nothing else."""


class ReadTablesConfig(BaseModel):
    """Write documents into tables of a PostgreSQL database."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["postgres"] = Field(description="The connector: `postgres`.")
    dsn: SecretStr = Field(
        description="A libpq connection string, `postgresql://user:password@host:5432/database` "
        "or `host=... dbname=...`: any database, the source's as well."
    )
    schema_: Annotated[str, AfterValidator(identifier)] = Field(
        default=SCHEMA,
        alias="schema",
        description="Where the read tables are. Made if it isn't there and the role may.",
    )
    timeout: Duration = Field(default=60.0, description="How long one statement may take.")

    @field_validator("dsn")
    @classmethod
    def _is_connection_string(cls, value: SecretStr) -> SecretStr:
        require_dsn(value.get_secret_value())
        return value

    @field_validator("timeout")
    @classmethod
    def _is_positive(cls, value: float) -> float:
        if value <= 0:
            raise ValueError("expected a duration above 0 such as 60s")
        return value

    @field_serializer("dsn", when_used="json")
    def _shown(self, value: SecretStr) -> str:
        return redact(value.get_secret_value())
