"""The `source:` section of a pipeline whose source is what applications post."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from cdc_daemon.quantities import ByteSize
from connectors.http.columntypes import column_type

DEFAULT_SCHEMA = "public"


def _declared(value: str) -> str:
    column_type(value)
    return value


class TableConfig(BaseModel):
    """One table: there is no catalog that would say what it looks like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: list[str] = Field(min_length=1, description="The columns of the primary key.")
    columns: dict[str, Annotated[str, AfterValidator(_declared)]] = Field(
        min_length=1,
        description="Every column and its type, as SQL writes it: `bigint`, `numeric(10,2)`, "
        "`text[]`, `text not null`.",
    )

    @model_validator(mode="after")
    def _has_its_key(self) -> TableConfig:
        missing = [name for name in self.key if name not in self.columns]
        if missing or len({*self.key}) < len(self.key):
            raise ValueError(f"`key` names {', '.join(missing) or 'a column twice'}: not a column")
        return self


class HttpConfig(BaseModel):
    """Follow what applications post to `/api/v1/changes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    can_hold_commits: ClassVar[bool] = False
    """There are none to be held."""

    type: Literal["http"] = Field(description="The connector: `http`.")
    tables: dict[str, TableConfig] = Field(
        min_length=1, description="The tables that changes are of, `schema.name` or `name`."
    )
    # As much as waits for the sink by default.
    queue: ByteSize = Field(
        default=32_000_000,
        description="What was posted and isn't durable yet. More is refused, to be posted again.",
    )
