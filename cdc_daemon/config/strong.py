"""The `consistency.strong` section: commits may wait until searches find what they wrote."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from cdc_daemon.config.section import Section
from cdc_daemon.ports import StrongTerms
from cdc_daemon.quantities import Duration

# A pause of the daemon's machine, or of OpenSearch beside it, is shorter; people wait longer.
RELEASE_AFTER_SECONDS: Final = 15.0
# Three signs of life in it, and a second for the guard: less would cut off a daemon that is busy.
SHORTEST_RELEASE_SECONDS: Final = 5.0

GUARD_SECONDS: Final = 1.0
"""Of `release_after`: what a guard may take to say that it stands in."""


_Projectors = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}(\.[0-9a-f]{12})?$")]
"""A pipeline, and the digest of its sink where that is to be told."""


class StrongConfig(Section):
    """How commits wait for the daemon, once `cdc-daemon strong enable` has told the server."""

    exclude: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="Projections that commits at `remote_apply` don't wait for: theirs come as "
        "`freshness` says. Commits at `on` wait until they are durable in these, too.",
    )
    projectors: list[_Projectors] = Field(
        default_factory=list,
        description="Of a relay: the pipelines whose searches commits at `remote_apply` wait for, "
        "by the `name` of their projectors, which have `source.relay` and `consistency.strong` "
        "as well. `NAME.SINK` where they write into several sinks. Default: none, and commits "
        "wait until Kafka has them.",
    )
    # Strict: what a COMMIT has returned for can be found, as long as nothing is loaded anew.
    when_away: Literal["strict", "degrade"] = Field(
        default="strict",
        description="What commits do that wait while the daemon is away. `strict`: they wait until "
        "it is back. `degrade`: `cdc-daemon strong guard` releases them, and searches may miss "
        "what they wrote.",
    )
    release_after: Duration = Field(
        default=RELEASE_AFTER_SECONDS,
        ge=SHORTEST_RELEASE_SECONDS,
        description="After so long a silence the server takes the daemon for gone, be it frozen or "
        "cut off.",
    )

    @property
    def terms(self) -> StrongTerms:
        """What connectors get to know of it."""
        return StrongTerms(
            self.when_away == "degrade",
            self.silence_seconds,
            tuple(sorted(self.exclude)),
            projectors=tuple(sorted(self.projectors)),
        )

    @property
    def silence_seconds(self) -> float:
        """What the server is told: the rest is for the guard, which then stands in."""
        return self.release_after - GUARD_SECONDS
