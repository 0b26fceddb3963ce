"""The `source:` section of a pipeline whose source is what applications post."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from cdc_daemon.quantities import ByteSize
from connectors.messages.tables import TableConfig


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
