"""Commands that a connector brings."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cdc_daemon.ports.watching import Watched


@dataclass(frozen=True, slots=True)
class StrongTerms:
    """How commits are to wait for the daemon: the `consistency.strong` section."""

    degrades: bool
    """Whether a guard stands in for a daemon that is away."""
    silence_seconds: float
    """After so long a silence of it the source gives it up, or its guard."""
    excluded: tuple[str, ...] = ()
    """The projections that they don't wait for, in order."""
    relays: bool = False
    """Whether it passes changes on: commits wait for these to be taken."""
    projectors: tuple[str, ...] = ()
    """Of a relay: whose searches they wait for as well, in order."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a daemon of the pipeline says of itself."""

    state: str
    """`loading`, `streaming`, ..."""
    strong: StrongTerms | None
    """How it has commits wait; None: it expects none."""
    unheard: tuple[str, ...] = ()
    """Of a relay: why searches of projectors would be waited for in vain, or not all of them."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command that a connector brings gets to know of a configuration."""

    pipeline: str
    source: Any
    """An instance of the `config_model` of its connector; so is the sink, where it is one."""
    sink: Any
    tables: tuple[str, ...] = ()
    """Those that the projections read, as they name them."""
    strong: StrongTerms | None = None
    """None: commits aren't to wait."""
    running: Callable[[], Running | None] = lambda: None
    """Asks the daemon; None where none of this pipeline answers."""
    shown: Callable[[str, Watched], AbstractContextManager[None]] = lambda _, __: nullcontext()
    """Shows a process of the connector at `host:port`, to those who watch it."""


class OpenConfiguration(Protocol):
    """The `obj` of the typer context that a connector's command is called with."""

    def __call__(self, file: Path) -> Opened:
        """Read the configuration. Raises ConfigurationError with every mistake."""
