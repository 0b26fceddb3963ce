"""What a connection must ask of the server so that its text is the text the encoders expect."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timezone": "UTC",
        "datestyle": "ISO",
        "intervalstyle": "iso_8601",
        "extra_float_digits": "3",
        "bytea_output": "hex",
    }
)
"""Settings by name, for every connection whose values are encoded: replication, COPY and queries.

The client encoding must be UTF8 too, but that belongs to the connection, not to the session.
"""
