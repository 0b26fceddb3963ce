"""Commands that a connector brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StrongTerms:
    """How commits are to wait for the daemon: the `consistency.strong` section."""

    degrades: bool
    """Whether a guard stands in for a daemon that is away."""
    silence_seconds: float
    """After so long a silence of it the source gives it up, or its guard."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command that a connector brings gets to know of a configuration."""

    pipeline: str
    source: Any
    """An instance of the `config_model` of its connector; so is the sink, where it is one."""
    sink: Any
    strong: StrongTerms | None = None
    """None: commits aren't to wait."""
    doing: Callable[[], str | None] = lambda: None
    """What the daemon says that it does (`loading`, `streaming`); None where none answers."""


class OpenConfiguration(Protocol):
    """The `obj` of the typer context that a connector's command is called with."""

    def __call__(self, file: Path) -> Opened:
        """Read the configuration. Raises ConfigurationError with every mistake."""
