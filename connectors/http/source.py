"""What applications post as a `Source`: each request's transactions in the order of arrival.

Nothing is kept outside of the process, and nothing is promised before it is durable: what a crash
loses was answered to nobody, and is posted again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from cdc_daemon.events import NOWHERE, Coverage
from cdc_daemon.ports import CHUNK_BYTES
from connectors.http.arrivals import ArrivalQueue
from connectors.http.config import HttpConfig
from connectors.messages.history import GivenTokens, history, shared_until, shown
from connectors.messages.nothing import ConfiguredShapes, NoRows, OwnClock, SeenUntil
from connectors.messages.tables import configured_relations, described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Change, Event, Position, Relation
    from cdc_daemon.ports import TableRequest


class HttpSource:
    """Of one pipeline. One thread owns it, but for `give` and `wake`."""

    config_model = HttpConfig
    rows_are = "those that applications post"

    def __init__(self, config: HttpConfig, *, pipeline: str) -> None:
        self._history = history(f"http {pipeline}")
        self._queue = ArrivalQueue(config.queue)
        self._tables = configured_relations(config.tables)

    def give(self, transactions: Sequence[Sequence[Change]]) -> list[Position]:
        """Put them at the end. Raises QueueFullError, or RetryError where nobody follows."""
        return self._queue.put(transactions)

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """As the configuration has them."""
        return described(self._tables, tables)

    def identity(self) -> str:
        """That of the pipeline."""
        return self._history

    def shared_until(self, source_id: str) -> Position:
        """All of its own: nobody else gives such positions."""
        return shared_until(self._history, source_id)

    def prepare(self, relations: Sequence[Relation]) -> dict[str, str]:
        """Nothing has to be made."""
        return self.memberships(relations)

    def memberships(self, relations: Sequence[Relation]) -> dict[str, str]:
        """All of them are posted."""
        return {relation.qualified_name: "posted" for relation in relations}

    def keeps_place(self, relations: Sequence[Relation]) -> bool:  # noqa: ARG002 - the port
        """There is none that could be lost."""
        return True

    def held_by(self) -> str | None:
        """Nobody: whoever runs is posted to."""
        return None

    def place(self) -> Position | None:
        """Before everything: what isn't durable is posted again, so nothing is ever missing."""
        return NOWHERE

    def create_place(self) -> Position:
        """From now on."""
        return self._queue.next_position()

    def chunk_reader(self, chunk_bytes: int = CHUNK_BYTES) -> NoRows:  # noqa: ARG002 - the port
        """There are no rows but those that are posted."""
        return NoRows(self._queue)

    def start(
        self,
        relations: Sequence[Relation],
        after: Position,
        *,
        whole: bool = False,  # noqa: ARG002 - all of them are
        silence_seconds: float | None = None,  # noqa: ARG002 - nobody listens
    ) -> None:
        """From now on it is given what applications post."""
        self._queue.follow({relation.qualified_name: relation for relation in relations}, after)

    def read(self, timeout_seconds: float) -> Sequence[Event]:
        """What was posted."""
        return self._queue.read(timeout_seconds)

    def confirm(self, *, received: Position, durable: Position, searchable: Position) -> None:  # noqa: ARG002 - the port
        """What is durable needn't be kept."""
        self._queue.confirm(durable)

    def starting(self) -> AbstractContextManager[None]:
        """No commit waits for us."""
        return nullcontext()

    def let_commit_go(self, xid: int) -> None:
        """No commit waits for us."""

    def give_up_place(self) -> None:
        """There is none."""
        self._queue.leave()

    def show(self, position: Position) -> str:
        """As clients read it."""
        return shown(position)

    def wake(self) -> None:
        """Make a read return."""
        self._queue.wake()

    def clock(self) -> OwnClock:
        """Our own."""
        return OwnClock(self._queue)

    def token_reader(self) -> GivenTokens:
        """Reads what answers have told."""
        return GivenTokens(self._history, told_by="the answers to POST /api/v1/changes")

    def shape_reader(self) -> ConfiguredShapes:
        """As the configuration has them."""
        return ConfiguredShapes(self._tables)

    def coverage(self) -> Coverage:
        """All that was posted until now."""
        last = self._queue.last
        return Coverage(str(last), last, last)

    def visibility(self, seen: str) -> SeenUntil:
        """What `coverage` says."""
        return SeenUntil(int(seen))

    def close(self) -> None:
        """Take nothing more. Safe to call twice."""
        self._queue.leave()
