"""The strategies that are compared, and what each of them rules out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import CdcError
from cdc_daemon.nearest import nearest
from cdc_daemon.price.clients import (
    CausalByIdClient,
    CausalClient,
    EventualClient,
    SourceClient,
    StrongClient,
)
from cdc_daemon.price.store import CALM, PROMPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.price.clients import Places
    from cdc_daemon.price.workload import Client

READ_YOUR_WRITES: Final = "read your writes"
MONOTONIC_READS: Final = "monotonic reads"
NO_MISSED_COMMIT: Final = "no missed commit"

SESSION: Final = frozenset({READ_YOUR_WRITES, MONOTONIC_READS})
EVERYTHING: Final = SESSION | {NO_MISSED_COMMIT}


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to commit and to search."""

    name: str
    """For the command line."""
    title: str
    """For people."""
    read_model: str
    client: Callable[[Places], Client]
    keeps: frozenset[str] = frozenset()
    """The guarantees of which a single violation is a fault."""
    is_strong: bool = False
    """Whether the daemon has to be a synchronous standby."""


STRATEGIES: Final = (
    Strategy("source", "the source itself", CALM, SourceClient, EVERYTHING),
    Strategy("eventual-1s", "eventual, freshness 1s", CALM, EventualClient),
    Strategy("eventual-0", "eventual, freshness 0", PROMPT, EventualClient),
    Strategy("causal", "causal", CALM, CausalClient, SESSION),
    Strategy("causal-by-id", "causal by document id", CALM, CausalByIdClient, SESSION),
    Strategy("strong", "strong", CALM, StrongClient, EVERYTHING, is_strong=True),
)


def chosen(names: str) -> list[Strategy]:
    """Those of a list with commas, in their usual order; all of them for an empty one.

    Raises CdcError for a name that there isn't.
    """
    known = {strategy.name: strategy for strategy in STRATEGIES}
    wanted = {name for part in names.split(",") if (name := part.strip())} or set(known)
    for name in sorted(wanted - set(known)):
        guess = nearest(name, known)
        hint = f" Did you mean {guess}?" if guess else ""
        raise CdcError(f"there is no strategy {name!r}.{hint} There are: {', '.join(known)}")
    return [strategy for name, strategy in known.items() if name in wanted]
