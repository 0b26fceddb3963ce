"""The state of joined read models as a start finds it: gone on with, or begun anew."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from cdc_daemon.assembly import documents_of, wanted
from cdc_daemon.state import GoOn, Home, Rebuild, folder_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from cdc_daemon.events import Position
    from cdc_daemon.projection.joined.plan import Plan
    from cdc_daemon.state import Here, Known, Schema, Store, Wanted


class Kept:
    """The folder, taken by this process until it is closed; and what is in it."""

    def __init__(
        self, path: Path, here: Here, show: Callable[[Position], str], most_bytes: int | None
    ) -> None:
        """Look at what there is. Raises StateError where another process has the folder."""
        self._here = here
        self._home = Home(folder_of(path, here.pipeline), most_bytes)
        with ExitStack() as stack:
            stack.callback(self._home.close)
            self._store, self._decision = self._home.find(here, show)
            stack.pop_all()

    @property
    def lost(self) -> str | None:
        """Why it can't be gone on with; None where it can."""
        return self._decision.reason if isinstance(self._decision, Rebuild) else None

    @property
    def ask_from(self) -> Position | None:
        """Where the stream is to begin; None where that is not for the state to say."""
        return self._decision.ask_from if isinstance(self._decision, GoOn) else None

    @property
    def id(self) -> str:
        """What the checkpoint names it by, once it is open."""
        return "" if self._store is None else self._store.id

    def known(self, plan: Plan) -> tuple[Known | None, Position] | None:
        """What was noted of its documents, and where the state is; None where rows are lacking."""
        if self._store is None or missing_of(self._store.schema, [plan]):
            return None
        number = self._store.schema.projections.get(documents_of(plan))
        if number is None:
            return None
        return self._store.read(lambda batch: (batch.known(number), batch.position))

    def note_known(self, plan: Plan, known: Known) -> None:
        """Keep that, once it is open."""
        store = self._store
        assert store is not None  # noqa: S101 - the caller has opened it
        number = store.schema.projections[documents_of(plan)]
        store.write(lambda batch: batch.note_known(number, known))

    def lacking(self, plans: Sequence[Plan]) -> dict[str, str]:
        """What would have to be loaded or made, for people, by the names of projections."""
        if self._store is None:
            return {}
        return lacking_of(self._store.schema, self._store.fitting(wanted(plans)), plans)

    def held(self, plans: Sequence[Plan]) -> set[str]:
        """The projections of which nothing was given out so far, because something lacked."""
        return set() if self._store is None else {*missing_of(self._store.schema, plans)}

    def to_load(self, need: Wanted, anew: Collection[str], *, all_anew: bool) -> set[str]:
        """The tables of which rows would lack, if it were opened so."""
        if self._store is None or all_anew:
            return {relation.qualified_name for relation in need.relations}
        return {*self._store.fitting(need, anew).to_load}

    def open(self, need: Wanted, anew: Collection[str], *, all_anew: bool) -> Store:
        """The state with room for what is wanted; the tables `anew`, or all, without their rows."""
        if all_anew:
            self._close_store()
        if self._store is None:
            self._store = self._home.create(self._here)
        self._store.fit(need, anew)
        return self._store

    def close(self) -> None:
        """Bring the state to disk, and let the folder go."""
        try:
            self._close_store()
        finally:
            self._home.close()

    def _close_store(self) -> None:
        if self._store is not None:
            store, self._store = self._store, None
            store.close()


def lacking_of(schema: Schema, fitting: Schema, plans: Sequence[Plan]) -> dict[str, str]:
    """What lacks in `fitting`, which `schema` would become, for people, by the names of `plans`.

    What was pending of a read model goes with its mapping, and doesn't come back with it.
    """
    unknown = [plan.name for plan in plans if documents_of(plan) not in schema.projections]
    forgotten = dict.fromkeys(unknown, "which documents are still to be written")
    return forgotten | missing_of(fitting, plans)


def missing_of(schema: Schema, plans: Sequence[Plan]) -> dict[str, str]:
    """What of it isn't there that these plans want, for people, by their names."""
    lacking = {plan.name: schema.lacks(wanted([plan])) for plan in plans}
    return {name: what for name, what in lacking.items() if what}
