"""Percentiles of measured latencies."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Percentiles(NamedTuple):
    """Of a number of latencies, in seconds; None where there were none."""

    p50: float | None
    p99: float | None


def percentiles(seconds: Sequence[float]) -> Percentiles:
    """Of measured latencies."""
    if not seconds:
        return Percentiles(None, None)
    ordered = sorted(seconds)
    return Percentiles(statistics.median(ordered), ordered[math.ceil(0.99 * len(ordered)) - 1])
