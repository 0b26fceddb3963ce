"""Quantiles of measured values, and of Prometheus histograms."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BOUND: Final = re.compile(r'le="([^"]+)"')


class Quantiles(NamedTuple):
    """Seconds."""

    p50: float
    p90: float
    p99: float
    highest: float

    def __str__(self) -> str:
        shown = (f"{value * 1000:.1f}" for value in self)
        return "p50 {} p90 {} p99 {} max {} ms".format(*shown)


def quantiles(values: Sequence[float]) -> Quantiles:
    """Nearest rank: each is a value that was measured."""
    if not values:
        return Quantiles(math.nan, math.nan, math.nan, math.nan)
    ordered = sorted(values)
    ranks = (max(0, math.ceil(share * len(ordered)) - 1) for share in (0.5, 0.9, 0.99, 1.0))
    return Quantiles(*(ordered[rank] for rank in ranks))


def histogram_quantile(
    before: Mapping[str, float], after: Mapping[str, float], metric: str, share: float
) -> float:
    """What lies at `share` of the observations between two scrapes, as PromQL reckons it.

    `metric`: the beginning of the bucket series with all labels but `le`.
    """
    buckets = sorted(
        (float(bound[1].replace("+Inf", "inf")), value - before.get(name, 0.0))
        for name, value in after.items()
        if name.startswith(metric) and (bound := _BOUND.search(name))
    )
    if not buckets or not buckets[-1][1]:
        return math.nan
    wanted = share * buckets[-1][1]
    lower = below = 0.0
    for upper, count in buckets:
        if count >= wanted:
            return (
                lower
                if math.isinf(upper)
                else lower + (upper - lower) * (wanted - below) / (count - below)
            )
        lower, below = upper, count
    return lower
