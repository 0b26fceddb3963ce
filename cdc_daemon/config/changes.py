"""The `web.changes` section: who may post changes, and how many."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, StrictInt

from cdc_daemon.config.section import Section
from cdc_daemon.quantities import ByteSize

KEY_NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,60}$"


class ChangesConfig(Section):
    """What applications may post at `/api/v1/changes`."""

    keys: dict[
        Annotated[str, Field(pattern=KEY_NAME_PATTERN)],
        Annotated[SecretStr, Field(min_length=1)],
    ] = Field(
        default_factory=dict,
        description="Keys that may post changes and nothing else, by the name of who has them. "
        "`web.api_key` may, too.",
    )
    # 10,000 rows of half a kilobyte; reading it takes a tenth of a second.
    max_body: ByteSize = Field(default=5_000_000, description="The largest request.")
    max_changes: StrictInt = Field(default=10_000, ge=1, description="The most changes in one.")
    # What waits beyond that waits longer than its clients do.
    max_waiting: StrictInt = Field(
        default=256, ge=1, description="More requests at the same time are refused."
    )
    requests_per_second: StrictInt | None = Field(
        default=None,
        ge=1,
        description="The most requests a second of each key. Default: as many as come.",
    )
