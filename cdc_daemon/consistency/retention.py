"""Which step has been reached by what the source keeps for us; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cdc_daemon.ports import RetentionStep

if TYPE_CHECKING:
    from cdc_daemon.ports import RetentionBounds

OVER_BELOW: Final = 0.9
"""A step is over below this part of its bound: what hovers around it isn't said again and again."""


class RetentionAlarm:
    """Knows the step; one thread samples, any thread reads `step`."""

    def __init__(self) -> None:
        self.step = RetentionStep.QUIET

    def sampled(self, retained_bytes: int, bounds: RetentionBounds) -> RetentionStep:
        """The step that so many kept bytes are on, coming from the one before."""
        reached = _step(retained_bytes, bounds)
        if reached < self.step:
            reached = min(self.step, _step(retained_bytes / OVER_BELOW, bounds))
        self.step = reached
        return reached


def _step(kept: float, bounds: RetentionBounds) -> RetentionStep:
    for step, bound in (
        (RetentionStep.LIMIT, bounds.limit_bytes),
        (RetentionStep.CRITICAL, bounds.critical_bytes),
        (RetentionStep.WARN, bounds.warn_bytes),
    ):
        if bound is not None and kept >= bound:
            return step
    return RetentionStep.QUIET
