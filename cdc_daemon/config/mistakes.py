"""The mistakes in a configuration, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cdc_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

Path: TypeAlias = tuple[str | int, ...]
"""Where something is in the configuration: keys and places in lists, from the top down."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: where it is, and what was expected."""

    file: str
    line: int
    path: str
    """`projections.hotels.from`; empty for a mistake of the whole file."""
    message: str
    column: int | None = None
    """Counted from 1; only for what is no YAML."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class MistakesError(ConfigurationError):
    """The configuration has mistakes; the message lists them all, one on each line."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.line, m.column or 0)))
        super().__init__("\n".join(map(str, self.mistakes)))


def dotted(path: Path) -> str:
    """`projections.hotels.id[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
