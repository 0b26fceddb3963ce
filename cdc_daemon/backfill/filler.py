"""Fills holes: reads rows by their keys on a connection of its own, beside the stream."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog

from cdc_daemon.backfill.holes import Answer, Holes, most_holes
from cdc_daemon.backfill.nudging import Nudging
from cdc_daemon.backfill.targets import contents_of
from cdc_daemon.delivery.retrying import retrying
from cdc_daemon.errors import CdcError, ManyLeftOutError, RetryError, RewrittenError, StopError
from cdc_daemon.projection.hole import is_hole, read_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cdc_daemon.backfill.holes import Name
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.events import Commit, Position
    from cdc_daemon.ports import ChunkReader, Source
    from cdc_daemon.projection.flat import FlatProjection

log = structlog.get_logger(__name__)

MOST_KEYS: Final = 500
"""Rows read at once: large values are in them, and all of them wait for the stream together."""

Keys = dict["Name", tuple[str, ...]]


class HoleFiller:
    """The holes of a pipeline. The reader calls it; a thread reads."""

    def __init__(
        self,
        source: Source,
        delivery: Delivery,
        projections: Mapping[str, FlatProjection],
        *,
        leads: bool = True,
    ) -> None:
        """`projections` by their indices; `leads`: whether a start of ours has rows read again."""
        self._source = source
        self._delivery = delivery
        self._projections = projections
        self._leads = leads
        self._most = most_holes(leads=leads)
        self._holes = Holes(self._most)
        self._too_many: ManyLeftOutError | None = None
        """Of the first transaction that left out more than is remembered."""
        self._commit: tuple[int, int] = (0, 0)
        """Position and number of the transaction that is sent."""
        self._after: Position | None = None
        self._asked: deque[tuple[int, Keys]] = deque(maxlen=1)
        self._answers: deque[tuple[int, Answer]] = deque()
        self._connection = 0
        """Counts the connections of the stream."""
        self._changed = threading.Condition()
        self._asked_for: set[str] = set()
        """The indices that something is asked for of, and isn't answered."""
        self._closed = False
        self._thread: threading.Thread | None = None
        self._nudging = Nudging(delivery.monitor.nudge_soon)
        delivery.dispatcher.leave_out = self._leave_out
        self._show()

    @property
    def active(self) -> bool:
        """Whether `step` has something to do."""
        return len(self._holes) > 0 or self._delivery.progress.unfilled is not None

    def after(self, received: Position) -> Position:
        """Where the commit before what is sent now ends, as far as it counts as durable.

        What settles a hole is not durable before it is written: so nothing from it on is.
        """
        held = self._holes.held()
        return received if held is None else min(received, held)

    def begin(self, commit: Commit) -> None:
        """What is sent from now on is of this transaction."""
        self._commit = (commit.position, commit.xid)
        self._after = self._delivery.progress.received

    def watching(self, index: str, contents: Iterable[Content]) -> Iterable[Content]:
        """Let contents pass; a whole document, or its end, settles a hole."""
        return self._watched(index, contents) if len(self._holes) else contents

    def truncated(self, index: str) -> None:
        """All documents from before are gone."""
        self._holes.truncated(index)

    def require_all(self) -> None:
        """Nothing more is read of the stream once documents wait that aren't remembered.

        Asked between transactions: what one did is written, but for those documents. Raises
        ManyLeftOutError, on which the rows of the table are read again; StopError where that is
        for another replica to do, which doesn't know of it.
        """
        if self._too_many is None:
            return
        if self._leads:
            raise self._too_many
        raise StopError(
            f"{self._too_many}. Only the replica that leads has rows read again, and it has fewer "
            "of them: it will, once others have our share. Or run: alter table "
            f"{self._too_many.table} replica identity full"
        )

    def step(self) -> None:
        """Take answers, write what the stream has passed, and ask for more."""
        while self._answers:
            connection, answer = self._answers.popleft()
            if connection != self._connection:
                continue
            self._holes.answered(answer)
            self._asked_for -= {index for index, _ in answer.asked}
        received = self._delivery.progress.received
        for filled in self._holes.ready(received):
            index, document_id = filled.name
            self._delivery.dispatcher.send(
                index, received, [(document_id, filled.content)], after=filled.after
            )
            # Only now: a source that is lost meanwhile must not take the document along.
            self._holes.settled(filled.name)
        self._delivery.dispatcher.release()
        self._delivery.progress.unfilled = self._holes.held()
        self._show()
        self._nudging.waits(received, self._holes.waits_for())
        if not self._asked_for and (keys := self._holes.to_ask(MOST_KEYS)):
            self._ask(keys)

    def connected_again(self) -> None:
        """The stream has a new connection: what was read before it is read again."""
        self._connection += 1
        self._holes.begin_again()
        self._asked_for = set()

    def close(self) -> None:
        """End the thread after what it is reading just now."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _show(self) -> None:
        self._delivery.metrics.documents_unfilled.set(len(self._holes))

    def _leave_out(self, index: str, document_id: bytes, content: bytes) -> None:
        """A document lacks a value (the dispatcher calls it)."""
        assert self._after is not None  # noqa: S101 - `begin` comes before anything is sent
        name, xid = (index, document_id), self._commit[1]
        kept = self._holes.left(name, read_key(content), xid, self._after)
        if not kept and self._too_many is None:
            table = self._projections[index].relation.qualified_name
            self._too_many = ManyLeftOutError(table, self._most, shown_by=self._commit)
        self._delivery.progress.unfilled = self._holes.held()

    def _watched(self, index: str, contents: Iterable[Content]) -> Iterator[Content]:
        for content in contents:
            name = (index, content[0])
            # The transaction that left a value out first is the one that isn't durable.
            if name in self._holes and not is_hole(content[1]):
                self._holes.settled(name)
            yield content

    def _ask(self, keys: Keys) -> None:
        self._asked_for = {index for index, _ in keys}
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="filler", daemon=True)
            self._thread.start()
        with self._changed:
            self._asked.append((self._connection, keys))
            self._changed.notify_all()

    def _run(self) -> None:
        reader = self._source.chunk_reader()
        try:
            while (asked := self._next()) is not None:
                for attempt in retrying():
                    with attempt:
                        self._try(reader, *asked)
        except (CdcError, Exception) as error:  # noqa: BLE001 - the daemon must not go on without us
            self._delivery.fail(error)
        finally:
            reader.close()

    def _next(self) -> tuple[int, Keys] | None:
        with self._changed:
            while not self._closed:
                if self._asked:
                    return self._asked.popleft()
                self._changed.wait()
            return None

    def _try(self, reader: ChunkReader, connection: int, keys: Keys) -> None:
        if self._closed:  # while it was tried again
            return
        try:
            for index in {index for index, _ in keys}:
                names = {name: key for name, key in keys.items() if name[0] == index}
                self._answers.append((connection, self._read(reader, index, names)))
        except (RetryError, RewrittenError) as error:
            log.warning("row_not_read", reason=getattr(error, "reason", ""), error=str(error))
            raise RetryError(str(error)) from error
        self._source.wake()

    def _read(
        self, reader: ChunkReader, index: str, keys: Mapping[Name, tuple[str, ...]]
    ) -> Answer:
        projection = self._projections[index]
        read = reader.read_keys(projection.relation, projection.key, list(keys.values()))
        found = contents_of(projection, read.rows)
        contents = {(index, document_id): body for document_id, body in found.items()}
        return Answer(list(keys), contents, read.seen, read.reached)
