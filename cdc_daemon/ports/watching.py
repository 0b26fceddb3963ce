"""What a process says of itself to those who watch it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Health(NamedTuple):
    """Whether all is well, and why not."""

    ok: bool
    reason: str = ""


class Number(NamedTuple):
    """A metric as it is now: a gauge of one pipeline."""

    name: str
    meaning: str
    value: float


class Watched(Protocol):
    """A process of its own that a connector's command runs. Any thread asks."""

    def live(self) -> Health:
        """Whether a restart would help: never because an outside system is away."""

    def ready(self) -> Health:
        """Whether it does its work."""

    def numbers(self) -> Sequence[Number]:
        """Its metrics."""
