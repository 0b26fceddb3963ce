"""Where the changes of one table go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdc_daemon.delivery.fold import Fold
    from cdc_daemon.projection.flat import FlatProjection


@dataclass(frozen=True, slots=True)
class Route:
    """One projection, its index, and what a transaction makes of its documents."""

    projection: FlatProjection
    index: str
    fold: Fold
