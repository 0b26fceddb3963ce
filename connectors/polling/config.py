"""The `source:` section of a polling source."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    StrictBool,
    Tag,
    field_serializer,
    field_validator,
    model_validator,
)

from cdc_daemon.errors import ConditionError
from cdc_daemon.quantities import Duration
from connectors.polling.schedule import Interval, Schedule, read_cron, read_schedule
from connectors.postgres.columnrules import ColumnRule
from connectors.postgres.condition import require_condition
from connectors.postgres.dsn import identifier, redact, require_dsn

INTERVAL_SECONDS: Final = 60.0
"""A batch that nobody has said anything about: as often as cron could, at most."""
OVERLAP_SECONDS: Final = 300.0
"""Longer than transactions of an application take; a job of an hour needs another one."""
STATEMENT_SECONDS: Final = 3600.0
"""A large table is searched for so long before its first row is found."""
LOCK_WAIT_SECONDS: Final = 60.0
"""A daemon that is being replaced lets go within its shutdown deadline."""

# Marks of the two ways to write `by`: no key can have such a name.
_NAME_TAG: Final = ".name"
_COLUMN_TAG: Final = ".column"


class WatermarkConfig(BaseModel):
    """Rows are chosen by a column that rises whenever a row is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: Annotated[str, AfterValidator(identifier)] = Field(
        description="A timestamp, date or integer that every INSERT and UPDATE sets: a row's time "
        "of change, or a number from a sequence."
    )
    overlap: Duration | None = Field(
        default=None,
        description="How far before its highest value rows are read again: as long as a "
        "transaction may take from setting it to its COMMIT. What commits later than that is "
        "missed. Of an integer: how much less, and it must be given. Default: `5m`.",
    )


def _way_of_by(value: object) -> str:
    return _COLUMN_TAG if isinstance(value, dict | WatermarkConfig) else _NAME_TAG


def _condition(value: str) -> str:
    try:
        require_condition(value)
    except ConditionError as error:
        raise ValueError(f"expected an SQL condition: {error}") from error
    return value


def _schedule(value: str) -> str:
    read_schedule(value)
    return value


class TableConfig(BaseModel):
    """How a table is polled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Annotated[
        Annotated[Literal["comparison", "xmin"], Tag(_NAME_TAG)]
        | Annotated[WatermarkConfig, Tag(_COLUMN_TAG)],
        Discriminator(_way_of_by),
    ] = Field(
        default="comparison",
        description="How rows are chosen. `comparison`: all are read, and compared with what was "
        "read before; the only way that sees by itself that a row is gone. `xmin`: those that "
        "transactions have written since; the whole table is searched. `{column: updated_at}`: "
        "those where that column is later.",
    )
    deleted: Annotated[str, AfterValidator(_condition)] | None = Field(
        default=None,
        description="An SQL condition over the row: rows that meet it count as deleted "
        "(`deleted_at is not null`). Only the row may decide, not the time.",
    )
    compare: Annotated[str, AfterValidator(_schedule)] | None = Field(
        default=None,
        description="How often the table is also compared as a whole, to find rows that are gone "
        "and what was missed: a duration, or a cron expression in UTC.",
    )

    @model_validator(mode="after")
    def _compares_once(self) -> TableConfig:
        if self.compare is not None and self.by == "comparison":
            raise ValueError("`compare` is for `by: xmin` and `by: {column: ...}`: leave it out")
        return self

    @property
    def compares(self) -> bool:
        """Whether all of it is compared, now or then."""
        return self.by == "comparison" or self.compare is not None

    @property
    def sees_deletes(self) -> bool:
        """Whether it is noticed at all that a row is gone."""
        return self.compares or self.deleted is not None


class PollingConfig(BaseModel):
    """Read the tables of a PostgreSQL database again and again, and find what has changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["polling"] = Field(description="The connector: `polling`.")
    dsn: SecretStr = Field(
        description="A libpq connection string, `postgresql://user:password@host:5432/database` "
        "or `host=... dbname=...`. The role needs no more than SELECT."
    )
    interval: Duration | None = Field(
        default=None, description="How often the tables are read. Default: `1m`."
    )
    cron: str | None = Field(
        default=None,
        description="When the tables are read, as a cron expression of five fields in UTC, in "
        "place of `interval`. They are read at the start, too.",
    )
    tables: dict[str, TableConfig] = Field(
        default_factory=dict,
        description="How each table is polled, by its name in the mapping. Default: by comparison.",
    )
    on_demand: StrictBool = Field(
        default=False,
        description="Read the tables at once when somebody waits for a commit, instead of letting "
        "them wait until it is time.",
    )
    columns: list[ColumnRule] = Field(
        default_factory=list,
        description="Rules that protect columns before a value leaves the connector. Of several "
        "that match a column the first counts.",
    )
    statement_timeout: Duration = Field(
        default=STATEMENT_SECONDS,
        description="How long the server may go without giving a row of the table that is read.",
    )
    lock_wait: Duration = Field(
        default=LOCK_WAIT_SECONDS,
        description="How long a start waits for another process that polls for this pipeline.",
    )

    @field_validator("dsn")
    @classmethod
    def _is_connection_string(cls, value: SecretStr) -> SecretStr:
        require_dsn(value.get_secret_value())
        return value

    @field_validator("interval", "statement_timeout")
    @classmethod
    def _is_positive(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError("expected a duration above 0 such as 30s")
        return value

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str | None) -> str | None:
        if value is not None:
            read_cron(value)
        return value

    @model_validator(mode="after")
    def _has_one_schedule(self) -> PollingConfig:
        if self.interval is not None and self.cron is not None:
            raise ValueError("expected one of `interval` and `cron`, not both")
        return self

    @field_serializer("dsn", when_used="json")
    def _shown(self, value: SecretStr) -> str:
        return redact(value.get_secret_value())

    @property
    def schedule(self) -> Schedule:
        """When polls are due."""
        if self.cron is not None:
            return read_cron(self.cron)
        return Interval(self.interval or INTERVAL_SECONDS)

    def of_table(self, qualified_name: str) -> TableConfig:
        """How the table `schema.name` is polled."""
        return self.tables.get(self.name_of(qualified_name)) or TableConfig()

    def name_of(self, qualified_name: str) -> str:
        """What the section calls the table `schema.name`."""
        schema, _, name = qualified_name.partition(".")
        return name if schema == "public" and name in self.tables else qualified_name
