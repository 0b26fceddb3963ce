"""Takes what applications post while a stream brings it as well, and has it written beside that.

The version of each document lies above every earlier commit of its row, and below the row's own: so
the stream wins where it comes later, and which of the two comes first doesn't matter.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from cdc_daemon.events import NOWHERE, Position
from cdc_daemon.posted.arrivals import Arrival, Arrivals
from cdc_daemon.posted.documents import Refused
from cdc_daemon.posted.outcome import Done, NotServingError, Tally, TooManyPostsError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cdc_daemon.events import DocumentOperation
    from cdc_daemon.ports import TokenReader
    from cdc_daemon.posted.body import Bodies, Post
    from cdc_daemon.posted.documents import Documents
    from cdc_daemon.posted.outcome import Result


class Stream(Protocol):
    """How far the stream is, and what is to be shown beside it."""

    highest: Position
    """No document that was written beside it has a higher version."""

    def come_to(self) -> Position:
        """All that is sent of the stream is of commits up to here."""

    def wrote(self, indices: Collection[str]) -> None:
        """Something is durable in these: it is to be shown, sooner or later."""

    def refreshes_of(self, indices: Collection[str]) -> Mapping[str, int]:
        """By index, the refresh that shows what was written; without those that nobody searches."""

    def has_shown(self, refreshes: Mapping[str, int]) -> bool:
        """Whether those have succeeded."""

    def hurry(self, indices: Collection[str]) -> None:
        """Somebody waits for what was written to these."""

    def hurry_to(self, position: Position) -> None:
        """Somebody waits for what the stream brings up to there."""

    def has_brought(self, position: Position, *, searchable: bool) -> bool:
        """Whether the stream has everything up to there in the sink, or searched."""


@dataclass(slots=True, eq=False)
class Job:
    """One request, until it is answered."""

    tallies: Sequence[Tally]
    searchable: bool
    deadline: float
    left: int
    """Documents of which nothing is known yet."""
    until: Position = NOWHERE
    """Behind the commits: there the stream has what it is faster with, or what is left to it."""
    indices: set[str] = field(default_factory=set)
    """That something was written to."""
    future: Future[Done] = field(default_factory=Future)


class Item(NamedTuple):
    """One document to be written."""

    operation: DocumentOperation
    tally: Tally
    job: Job


class Beside:
    """Of one start. Any thread calls it."""

    unknown = "given_up"

    def __init__(
        self,
        *,
        bodies: Bodies,
        documents: Documents,
        versions: TokenReader,
        stream: Stream,
        covered_until: Mapping[str, Position],
        most_waiting: int,
    ) -> None:
        """`covered_until`: by table, up to where its changes are left to a load."""
        self.bodies = bodies
        self.stream = stream
        self._documents = documents
        self._versions = versions
        self._covered_until = covered_until
        self._most_waiting = most_waiting
        self._arrivals = Arrivals()
        self._changed = threading.Condition()
        self._waiting: list[Item] = []
        self._jobs = 0
        self.closed = False

    @property
    def epoch(self) -> str:
        """The history that versions are of."""
        return self._versions.epoch

    def take(self, post: Post, deadline: float) -> Future[Done]:
        """Have it written. Raises TokenError, TooManyPostsError or NotServingError."""
        self._require_streamed(post)
        items: list[Item] = []
        tallies: list[Tally] = []
        job = Job(tallies, post.searchable, deadline, 0)
        for transaction in post.transactions:
            version = self._versions.read(transaction.version or "")
            made = self._documents.made(transaction.changes, version)
            tallies.append(Tally(made.refused))
            if transaction.token is not None:
                job.until = max(job.until, self._versions.read(transaction.token))
            items += (Item(operation, tallies[-1], job) for operation in made.operations)
        job.left = len(items)
        self._put(items)
        if not items:
            self._end(job)
        return job.future

    def _require_streamed(self, post: Post) -> None:
        """Changes that are left to a load aren't in the stream, which would repair ours."""
        come_to = self.stream.come_to()
        for transaction in post.transactions:
            for change in transaction.changes:
                table = change.relation.qualified_name
                if come_to < self._covered_until.get(table, NOWHERE):
                    raise NotServingError(
                        f"table {table} has changed, and its rows are read again: send it again"
                    )

    def _put(self, items: Sequence[Item]) -> None:
        with self._changed:
            if self.closed:
                raise NotServingError("the daemon stops, or a table has changed: send it again")
            if self._jobs >= self._most_waiting:
                raise TooManyPostsError(
                    f"{self._most_waiting} requests wait already (web.changes.max_waiting): send "
                    "it again, or leave it to the stream"
                )
            self._jobs += 1
            highest = max((item.operation.version for item in items), default=NOWHERE)
            # Before it is written: a failover that loses it must be noticed whatever happens.
            self.stream.highest = max(self.stream.highest, Position(highest))
            self._waiting += items
            self._changed.notify()

    def next_items(self, most: int) -> list[Item]:
        """Wait for what is to be written; nothing once it is closed. Who writes calls it."""
        with self._changed:
            while not self._waiting and not self.closed:
                self._changed.wait()
            taken, self._waiting = self._waiting[:most], self._waiting[most:]
            return taken

    def settle(self, items: Sequence[Item], result: Result) -> None:
        """That has become of these."""
        ended: list[Job] = []
        with self._changed:
            for item in items:
                item.tally.counts[result] += 1
                item.job.left -= 1
                if result == "written":
                    item.job.indices.add(item.operation.index)
                if not item.job.left:
                    ended.append(item.job)
        for job in ended:
            self._end(job)

    def refuse(self, item: Item, reason: str, explanation: str) -> None:
        """The sink will never take it: the stream, which brings it too, keeps the dead letter."""
        operation = item.operation
        name = self._documents.names[operation.index]
        item.tally.refused.append(Refused(name, operation.id, reason, explanation))
        self.settle([item], "refused")

    def _end(self, job: Job) -> None:
        """What it writes is durable: answer, or wait for searches, or for the stream."""
        stream, searchable = self.stream, job.searchable
        refreshes = stream.refreshes_of(job.indices) if searchable else {}
        by_stream = any(tally.is_brought_by_stream for tally in job.tallies)
        until = job.until if by_stream else NOWHERE
        if not refreshes and until == NOWHERE:
            self._answer(job, shown=True)
            return
        stream.hurry(refreshes)
        if searchable and until:
            stream.hurry_to(until)
        arrival = Arrival(
            lambda: (
                stream.has_shown(refreshes) and stream.has_brought(until, searchable=searchable)
            ),
            job.deadline,
            lambda shown: self._answer(job, shown=shown),
        )
        self._arrivals.add(arrival, time.monotonic())

    def _answer(self, job: Job, *, shown: bool) -> None:
        with self._changed:
            self._jobs -= 1
        given_up = any(tally.counts["given_up"] for tally in job.tallies)
        told: dict[str, Any] = {}
        if self._documents.left_to_stream:
            told["left_to_stream"] = self._documents.left_to_stream
        shown_tallies = [tally.shown() for tally in job.tallies]
        job.future.set_result(Done(shown_tallies, shown and not given_up, told))

    def look(self) -> None:
        """Something may have been shown."""
        self._arrivals.look(time.monotonic())

    def close(self) -> None:
        """Take nothing more, and give up what isn't sent."""
        with self._changed:
            self.closed = True
            left, self._waiting = self._waiting, []
            self._changed.notify_all()
        self.settle(left, "given_up")
        self._arrivals.stop()
