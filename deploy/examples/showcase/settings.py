"""What a web node is told by its environment."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Final

PREFIX: Final = "APP_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the three servers are, and who this web node is."""

    database_url: str
    """The command store."""
    opensearch_url: str
    """The read models."""
    daemon_url: str
    """The daemon between them: it can be asked to wait."""
    secret: str
    """Signs the cookie that carries a person's tokens: the same on all web nodes."""
    node: str = "A"
    """What people call this web node."""
    other_node: str = ""
    """The address of another web node; empty: there is none."""

    @classmethod
    def from_environment(cls) -> Settings:
        """Read `APP_DATABASE_URL` and so on. Raises TypeError with what isn't set."""
        names = cls.__dataclass_fields__
        variables = {name: f"{PREFIX}{name.upper()}" for name in names}
        return cls(**{n: os.environ[v] for n, v in variables.items() if v in os.environ})

    @property
    def environment(self) -> dict[str, str]:
        """The variables of it."""
        return {f"{PREFIX}{name.upper()}": value for name, value in asdict(self).items()}
