"""The `consistency` section: what commits wait for."""

from __future__ import annotations

from pydantic import Field

from cdc_daemon.config.section import Section
from cdc_daemon.config.strong import StrongConfig


class ConsistencyConfig(Section):
    """How consistent the read models are with the source."""

    strong: StrongConfig | None = Field(
        default=None,
        description="Let commits wait until searches find what they wrote. Default: they don't.",
    )
