"""How many requests a second each key may bring. Pure."""

from __future__ import annotations

from typing import NamedTuple


class _Allowance(NamedTuple):
    """What one key has left."""

    requests: float
    at: float


class Rates:
    """Of one daemon. One thread calls it."""

    def __init__(self, per_second: float | None) -> None:
        """None: as many as come."""
        self._per_second = per_second
        self._left: dict[str, _Allowance] = {}

    def wait_seconds(self, name: str, now: float) -> float:
        """0 where a request of this key may be served now, and is counted; else how long to wait.

        A second's worth may come at once.
        """
        rate = self._per_second
        if rate is None:
            return 0.0
        most = max(1.0, rate)
        before = self._left.get(name, _Allowance(most, now))
        left = min(most, before.requests + (now - before.at) * rate)
        if left < 1:
            self._left[name] = _Allowance(left, now)
            return (1 - left) / rate
        self._left[name] = _Allowance(left - 1, now)
        return 0.0
