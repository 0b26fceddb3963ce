"""What every section of a configuration has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the configuration: immutable, and with no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_alias=True)
