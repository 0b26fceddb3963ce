"""Compares the catalog of the mapped tables with what the mappings were compiled for."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.errors import CdcError, SchemaChangedError
from cdc_daemon.shapes import difference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.events import Relation, Shape
    from cdc_daemon.ports import ShapeReader

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
"""How soon a change is noticed that brings no row. One look costs the source some milliseconds."""
LOOK_SHARE: Final = 20
"""A look is followed by a pause of this many times as long as it took: thousands of partitions make
one expensive, and no more than 5 % of one of the source's cores goes into them."""


class SchemaWatch(threading.Thread):
    """One thread that looks once a second or so, until it has found a change or is stopped."""

    def __init__(
        self,
        reader: ShapeReader,
        relations: Sequence[Relation],
        before: Mapping[str, Shape],
        found: Callable[[BaseException], None],
        adopted: Callable[[Mapping[str, Shape]], None],
    ) -> None:
        super().__init__(name="schema", daemon=True)
        self._reader = reader
        self._relations = {relation.qualified_name: relation for relation in relations}
        self._shapes = dict(before)
        self._found = found
        self._adopted = adopted
        self._gone: set[str] = set()
        """What wasn't there at the last look: a table that is made anew is away for a moment."""
        self._ended = threading.Event()

    def run(self) -> None:
        """Look; a source that can't be reached is for others to notice."""
        try:
            pause_seconds = LOOK_SECONDS
            while not self._ended.wait(pause_seconds):
                began = time.monotonic()
                self._look()
                pause_seconds = max(LOOK_SECONDS, LOOK_SHARE * (time.monotonic() - began))
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._found(error)

    def stop(self) -> None:
        """Make the thread end. Once it has, the reader of shapes is free."""
        self._ended.set()

    def _look(self) -> None:
        try:
            shapes = dict(self._reader.read(list(self._relations)))
        except CdcError as error:
            log.debug("schema_not_read", error=str(error))
            return
        gone = self._relations.keys() - shapes.keys()
        for table in self._relations.keys() - (gone - self._gone):
            why = difference(self._shapes.get(table), shapes.get(table), self._relations[table])
            if why is not None:
                raise SchemaChangedError(table, why, in_catalog=True)
        self._gone = gone
        if not gone and shapes != self._shapes:
            self._shapes = shapes
            self._adopted(shapes)
