"""The window: what the stream does to rows that were read beside it. Pure.

A chunk was read in one snapshot, and waits until the stream has passed where the log ended then.
A transaction that the snapshot doesn't see is newer than the chunk's rows, whatever its position:
commits become visible in another order than they are in the log, and where they wait for a
synchronous standby long after the stream has shown them. So each one takes the documents, or rows
of the state, that it touches out of the chunks that don't see it, also out of those that are read
later: it is remembered until every worker has taken a snapshot that sees it. Where commits wait for
us, it is confirmed meanwhile, and doesn't come again: its number is in the checkpoint then.

The procedure, and why it is right: `docs/explanation/backfill.md`.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from cdc_daemon.backfill.targets import Contents
    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.events import Chunk, Position
    from cdc_daemon.ports import Visibility

MOST_REMEMBERED: Final = 200_000
"""Document ids that are remembered, about 100 bytes each. Of what is beyond, only that there was
something: a chunk that doesn't see such a transaction is read again, until it does."""


MOST_TRANSACTIONS: Final = 20_000
"""Transactions that are remembered one by one, some 500 bytes each."""

MOST_KEPT: Final = MOST_TRANSACTIONS // 2
"""Whose numbers a checkpoint holds, 10 bytes each. What comes after them is confirmed once earlier
ones are forgotten, which they are: those are confirmed, so their commits no longer wait for us."""


@dataclass(slots=True)
class LoadedChunk:
    """A chunk that was read, as what its load is for."""

    load: int
    """Which load it belongs to."""
    chunk: Chunk | None
    """None where rows were read by their keys."""
    rest: Chunk | None
    seen: Visibility
    reached: Position
    contents: dict[str, Contents]
    """By the name of what is filled: an index, or a table of the state."""
    rows: int
    connection: int = 0
    """Which connection of the stream it was asked for under."""


@dataclass(slots=True)
class Remembered:
    """A transaction that a snapshot to come may not see; beyond a bound, several."""

    xids: array[int]
    after: Position
    """Where the commit before the first of them ends."""
    touched: dict[str, list[bytes]] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    whole: bool = True
    """Whether `touched` is all of it."""

    def is_seen(self, seen: Visibility) -> bool:
        """Whether a snapshot sees all of it."""
        return all(map(seen.sees, self.xids))


class Window:
    """Chunks that wait for the stream, and transactions that chunks to come may not see."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._floors: dict[int, Visibility] = {}
        """Each worker's last snapshot: its next one sees at least as much."""
        self.left_out = frozenset[int]()
        """The workers that have none, and read nothing before they have taken one."""
        self._waiting: deque[LoadedChunk] = deque()
        self._remembered: deque[Remembered] = deque()
        self._doubted: set[int] = set()
        """Of these only the numbers are known, and they don't come again."""
        self._ids_remembered = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def ids_remembered(self) -> int:
        """How many document ids are remembered."""
        return self._ids_remembered

    def transaction(self, xid: int, after: Position) -> Transaction | None:
        """A transaction has come; None where every chunk sees it, now and in future."""
        blind = [chunk for chunk in self._waiting if not chunk.seen.sees(xid)]
        remembered = None if self._is_seen_by_all(xid) else self._remembering(xid, after)
        if remembered is None and not blind:
            return None
        return Transaction(self, blind, remembered)

    def arrived(self, chunk: LoadedChunk) -> bool:
        """Let a chunk wait; False if it has to be read again, later."""
        if not all(map(chunk.seen.sees, self._doubted)):
            return False
        unseen = [one for one in self._remembered if not one.is_seen(chunk.seen)]
        if not all(one.whole for one in unseen):
            return False
        for one in unseen:
            for index in one.truncated & chunk.contents.keys():
                chunk.contents[index].clear()
            for index, ids in one.touched.items():
                _remove(chunk, index, ids)
        self._waiting.append(chunk)
        return True

    def snapshot_taken(self, worker: int, seen: Visibility) -> None:
        """A worker's next snapshot is later than this one: forget what all of them see."""
        self._floors[worker] = seen
        self._forget()

    def leave_out(self, workers: frozenset[int]) -> None:
        """These can't read now: what they read later they see later than what others have seen."""
        self.left_out = workers
        for worker in workers:
            self._floors.pop(worker, None)
        self._forget()

    def _forget(self) -> None:
        while self._remembered and all(map(self._is_seen_by_all, self._remembered[0].xids)):
            forgotten = self._remembered.popleft()
            self._ids_remembered -= sum(map(len, forgotten.touched.values()))
        self._doubted = {xid for xid in self._doubted if not self._is_seen_by_all(xid)}

    def ready(self, received: Position) -> LoadedChunk | None:
        """The first chunk that the stream has passed, if any. It waits until it is `released`."""
        return next((chunk for chunk in self._waiting if chunk.reached <= received), None)

    def waits_for(self) -> Position | None:
        """The nearest place of the stream that a chunk waits for."""
        return min((chunk.reached for chunk in self._waiting), default=None)

    def released(self, chunk: LoadedChunk) -> None:
        """All documents of the chunk are on their way."""
        self._waiting = deque(other for other in self._waiting if other is not chunk)

    def begin_again(self) -> list[LoadedChunk]:
        """The source may have lost what a snapshot saw: the chunks that must be read once more."""
        chunks = list(self._waiting)
        self._waiting.clear()
        self._floors.clear()
        return chunks

    def doubt(self, xids: Iterable[int]) -> None:
        """These came before anybody looked: a chunk that doesn't see one of them is read again."""
        self._doubted.update(xid for xid in xids if not self._is_seen_by_all(xid))

    def forget(self, load: int) -> None:
        """Nobody wants this load any longer: its chunks wait for nothing."""
        self._waiting = deque(chunk for chunk in self._waiting if chunk.load != load)

    def held(self, kept: int = 0) -> Position | None:
        """Confirm no more than this: what is remembered must come again after a crash.

        But for the first `kept` transactions, whose numbers are in the checkpoint.
        """
        return self._remembered[kept].after if kept < len(self._remembered) else None

    def unseen(self, position: Position) -> Collection[int]:
        """The numbers of those that don't come again after a crash, if a checkpoint is there."""
        numbers = list(self._doubted)
        for one in self._remembered:
            if one.after >= position:
                break
            numbers.extend(one.xids)
        return numbers

    def remember(self, one: Remembered, index: str, document_id: bytes) -> None:
        """Note what a transaction touched, while there is room."""
        if one.whole and self._ids_remembered < MOST_REMEMBERED:
            one.touched.setdefault(index, []).append(document_id)
            self._ids_remembered += 1
        elif one.whole:
            self._drop_ids(one)

    def _remembering(self, xid: int, after: Position) -> Remembered:
        """A new entry, or beyond the bound the last one, of which only numbers are kept."""
        if len(self._remembered) < MOST_TRANSACTIONS:
            self._remembered.append(Remembered(array("Q", [xid]), after))
            return self._remembered[-1]
        last = self._remembered[-1]
        last.xids.append(xid)
        self._drop_ids(last)
        return last

    def _drop_ids(self, one: Remembered) -> None:
        one.whole = False
        self._ids_remembered -= sum(map(len, one.touched.values()))
        one.touched.clear()

    def _is_seen_by_all(self, xid: int) -> bool:
        # Where nobody can read, nobody has seen it either.
        if not self._floors or len(self._floors) + len(self.left_out) < self._workers:
            return False
        return all(seen.sees(xid) for seen in self._floors.values())


class Transaction:
    """One transaction of the stream, while its contents pass."""

    def __init__(
        self, window: Window, blind: Sequence[LoadedChunk], remembered: Remembered | None
    ) -> None:
        self._window = window
        self._blind = blind
        self._remembered = remembered

    def truncated(self, index: str) -> None:
        """All documents from before it are gone."""
        for chunk in self._blind:
            chunk.contents.get(index, {}).clear()
        if self._remembered is not None:
            self._remembered.truncated.add(index)

    def touching(self, index: str, contents: Iterable[Content]) -> Iterator[Content]:
        """Let contents pass, and note which documents they are for."""
        documents = [chunk.contents[index] for chunk in self._blind if index in chunk.contents]
        for content in contents:
            for some in documents:
                some.pop(content[0], None)
            if self._remembered is not None:
                self._window.remember(self._remembered, index, content[0])
            yield content


def _remove(chunk: LoadedChunk, index: str, ids: Iterable[bytes]) -> None:
    documents = chunk.contents.get(index)
    if documents:
        for document_id in ids:
            documents.pop(document_id, None)
