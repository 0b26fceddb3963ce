"""Looks whether each table is in the stream as it was: what isn't streamed shows nowhere else.

And compares the catalog of the mapped tables with what the mappings were compiled for.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from cdc_daemon.errors import CdcError, SchemaChangedError
from cdc_daemon.ports import ReadsMemberships
from cdc_daemon.shapes import difference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cdc_daemon.events import Checkpoint, Relation, Shape
    from cdc_daemon.ports import ShapeReader

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 1.0
"""How soon a change is noticed that brings no row. One look costs the source some milliseconds."""
LOOK_SHARE: Final = 20
"""A look is followed by a pause of this many times as long as it took: thousands of partitions make
one expensive, and no more than 5 % of one of the source's cores goes into them, as long as a look
takes less than the longest pause has room for."""
LONGEST_PAUSE_SECONDS: Final = 15.0
"""Whatever a look took, and though it may be more of the source's time then: mostly it waited (for
a lock, or on a machine with far too much to do), and minutes of pause would hide changes."""

SILENT_LOOKS: Final = 3
SILENT_SECONDS: Final = 60.0
"""After so many looks in a row, and so long, without an answer it is said that changes go unseen. A
source that is away for a moment is said elsewhere."""

LEFT: Final = (
    "it was taken out of what the source streams, has come in anew, or what is streamed of it was "
    "altered"
)
"""Changes of it may be missing, whoever has put it back meanwhile."""


class MemberWatch(threading.Thread):
    """One thread that looks once a second or so, until it has found a change or is stopped.

    It looks only at how tables belong to the stream: what passes them on as they are needs no more.
    """

    def __init__(
        self,
        reader: ShapeReader,
        relations: Sequence[Relation],
        before: Checkpoint,
        found: Callable[[BaseException], None],
        *,
        closes: bool = False,
    ) -> None:
        """`before`: what the start has found. `closes`: the reader is for this thread alone."""
        super().__init__(name="schema", daemon=True)
        self._reader = reader
        self._relations = {relation.qualified_name: relation for relation in relations}
        self._members = dict(before.memberships)
        self._found = found
        self._closes = closes
        self._unread = 0
        """How many looks in a row have brought nothing."""
        self._seen_at = time.monotonic()
        """When one brought something last."""
        self._said = False
        """Whether it was said since."""
        self._ended = threading.Event()

    def run(self) -> None:
        """Look; a source that can't be reached is for others to notice."""
        try:
            pause_seconds = LOOK_SECONDS
            while not self._ended.wait(pause_seconds):
                began = time.monotonic()
                self._look()
                pause_seconds = pause_after(time.monotonic() - began)
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._found(error)
        finally:
            if self._closes:
                self._reader.close()

    def stop(self) -> None:
        """Make the thread end. Once it has, the reader of shapes is free."""
        self._ended.set()

    def _look(self) -> None:
        """Raises SchemaChangedError where a table is another member than it was."""
        members = self._answer(self._memberships)
        if members is None:
            return
        self._note_read()
        for table, member in members.items():
            if member != self._members.get(table, member):
                raise SchemaChangedError(table, LEFT, in_catalog=True)

    def _answer(self, ask: Callable[[], Answer]) -> Answer | None:
        """What the source says; None where it can't."""
        try:
            return ask()
        except CdcError as error:
            log.debug("schema_not_read", error=str(error))
            self._note_unread(error)
            return None

    def _memberships(self) -> Mapping[str, str]:
        if not isinstance(self._reader, ReadsMemberships):
            return {}
        return self._reader.memberships(list(self._relations.values()))

    def _note_unread(self, error: CdcError) -> None:
        """Say once of several in a row that changes of tables go unnoticed."""
        self._unread += 1
        seconds = time.monotonic() - self._seen_at
        if self._said or self._unread < SILENT_LOOKS or seconds < SILENT_SECONDS:
            return
        self._said = True
        log.warning("schema_unseen", looks=self._unread, seconds=round(seconds), error=str(error))

    def _note_read(self) -> None:
        if self._said:
            log.info("schema_seen_again", seconds=round(time.monotonic() - self._seen_at))
        self._unread, self._said, self._seen_at = 0, False, time.monotonic()


def pause_after(look_seconds: float) -> float:
    """How long nobody looks after a look of that length, in seconds."""
    return min(max(LOOK_SECONDS, LOOK_SHARE * look_seconds), LONGEST_PAUSE_SECONDS)


class SchemaWatch(MemberWatch):
    """Looks at what the tables look like as well."""

    def __init__(
        self,
        reader: ShapeReader,
        relations: Sequence[Relation],
        before: Checkpoint,
        found: Callable[[BaseException], None],
        adopted: Callable[[Mapping[str, Shape]], None],
    ) -> None:
        super().__init__(reader, relations, before, found)
        self._shapes = dict(before.shapes)
        self._adopted = adopted
        self._gone: set[str] = set()
        """What wasn't there at the last look: a table that is made anew is away for a moment."""

    def _look(self) -> None:
        """Shapes first: one that has changed is noticed also where memberships can't be read."""
        shapes = self._answer(lambda: dict(self._reader.read(list(self._relations))))
        if shapes is None:
            return
        self._compare_shapes(shapes)
        super()._look()

    def _compare_shapes(self, shapes: dict[str, Shape]) -> None:
        gone = self._relations.keys() - shapes.keys()
        for table in self._relations.keys() - (gone - self._gone):
            why = difference(self._shapes.get(table), shapes.get(table), self._relations[table])
            if why is not None:
                raise SchemaChangedError(table, why, in_catalog=True)
        self._gone = gone
        if not gone and shapes != self._shapes:
            self._shapes = shapes
            self._adopted(shapes)
