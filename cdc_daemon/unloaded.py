"""What can't be loaded, or the configuration doesn't let be loaded: refused. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cdc_daemon.errors import SourceError, StopError
from cdc_daemon.ports import BringsRowsOnce

if TYPE_CHECKING:
    from collections.abc import Collection

    from cdc_daemon.config.models import Configuration
    from cdc_daemon.ports import Source
    from cdc_daemon.projection.compiler import Compiled
    from cdc_daemon.resuming import Resumption


def require_may_load(
    configuration: Configuration,
    source: Source,
    compiled: Compiled,
    resumption: Resumption,
    lacking: Collection[str],
) -> None:
    """Not where the configuration forbids it, or there is nothing that could be loaded.

    `lacking`: as `require_no_loads` has it. Raises StopError.
    """
    flat = {one.name for one in compiled.projections}
    if isinstance(source, BringsRowsOnce):
        require_no_rows_lost(resumption, lacking, flat, source.rows_are)
    elif configuration.backfill.mode == "never":
        require_no_loads(resumption, lacking, flat)


def require_no_loads(
    resumption: Resumption, lacking: Collection[str], flat: Collection[str]
) -> None:
    """Before anything is changed: what refuses must go on, when the mapping is as it was.

    `lacking`: the joined projections of whose tables the state lacks rows; `flat`: the others.
    Raises StopError where documents would be lost, or stay wrong, for want of a load.
    """
    anew = resumption.anew
    joined = sorted({*lacking} & anew.keys())
    if joined:
        raise StopError(
            f"{', '.join(joined)} must be loaded ({anew[joined[0]]}), and "
            "backfill.mode is never: a joined read model needs every row of its tables, also "
            "of those that no change comes of. Set it to initial"
        )
    full = {name: anew[name] for name in anew.keys() & {*resumption.replaced} & {*flat}}
    for table, names in resumption.repaired.items():
        full |= dict.fromkeys(names, resumption.altered[table])
    if full:
        raise StopError(
            f"{', '.join(sorted(full))} must be loaded anew ({min(full.values())}), and "
            "backfill.mode is never: the documents that are there would be lost. Set it to "
            "initial; or rename the projection to begin with an empty read model"
        )


def require_no_rows_lost(
    resumption: Resumption, lacking: Collection[str], flat: Collection[str], rows_are: str
) -> None:
    """Where rows are nowhere but in what has come: what was made of them must stay.

    `lacking` and `flat` as above; `rows_are` as `BringsRowsOnce` has it. Raises StopError where a
    read model would begin empty that isn't.
    """
    anew, replaced = resumption.anew, {*resumption.replaced}
    lost = {name: anew[name] for name in anew.keys() & replaced & {*flat}}
    for table, names in resumption.repaired.items():
        lost |= dict.fromkeys(names, resumption.altered[table])
    if replaced or not resumption.new_place:
        lost |= {name: anew[name] for name in {*lacking} & anew.keys()}
    if lost:
        raise StopError(
            f"{', '.join(sorted(lost))} must be made anew ({min(lost.values())}), and this source "
            f"has no rows but {rows_are}. Put back what was changed; or name the pipeline and its "
            "projections anew, which then begin with what comes, have all rows sent once more, and "
            "search the new ones"
        )


def require_may_lose(resumption: Resumption, when_lost: Literal["load", "stop"]) -> None:
    """Before anything is stored. Raises SourceError where everything would be loaded anew."""
    if resumption.lost and when_lost == "stop":
        reason = next(iter(resumption.anew.values()))
        raise SourceError(
            f"{reason}. Everything must be loaded anew, and backfill.when_lost is stop: set it "
            "to load and start again. What is searched stays as it is until all is loaded"
        )
