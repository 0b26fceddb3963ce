"""What applications post as a `Source`: each request's transactions in the order of arrival.

Nothing is kept outside of the process, and nothing is promised before it is durable: what a crash
loses was answered to nobody, and is posted again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import SourceError
from cdc_daemon.events import NOWHERE, Column, Coverage, Position, Relation
from cdc_daemon.nearest import nearest
from cdc_daemon.ports import CHUNK_BYTES
from connectors.http.arrivals import ArrivalQueue
from connectors.http.columntypes import column_type
from connectors.http.config import HttpConfig
from connectors.http.history import HttpTokens, history, shown
from connectors.http.nothing import ConfiguredShapes, NoRows, OwnClock, SeenUntil, qualified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cdc_daemon.events import Change, Event
    from cdc_daemon.ports import TableRequest
    from connectors.http.config import TableConfig


EVERYTHING: Final = Position(1 << 62)
"""Beyond every position that is given: nothing of a history of its own can be lost."""


class HttpSource:
    """Of one pipeline. One thread owns it, but for `give` and `wake`."""

    config_model = HttpConfig

    def __init__(self, config: HttpConfig, *, pipeline: str) -> None:
        self._history = history(pipeline)
        self._queue = ArrivalQueue(config.queue)
        self._tables = {
            qualified(name): _relation(qualified(name), table)
            for name, table in config.tables.items()
        }

    def give(self, transactions: Sequence[Sequence[Change]]) -> list[Position]:
        """Put them at the end. Raises QueueFullError, or RetryError where nobody follows."""
        return self._queue.put(transactions)

    def describe(self, tables: Sequence[TableRequest]) -> list[Relation]:
        """As the configuration has them."""
        mistakes: list[str] = []
        relations = [self._described(request, mistakes) for request in tables]
        if mistakes:
            raise SourceError("; ".join(mistakes))
        return [relation for relation in relations if relation is not None]

    def identity(self) -> str:
        """That of the pipeline."""
        return self._history

    def shared_until(self, source_id: str) -> Position:
        """All of its own: nobody else gives such positions."""
        return EVERYTHING if source_id == self._history else NOWHERE

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

    def token_reader(self) -> HttpTokens:
        """Reads what answers have told."""
        return HttpTokens(self._history)

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

    def _described(self, request: TableRequest, mistakes: list[str]) -> Relation | None:
        name = qualified(request.name)
        relation = self._tables.get(name)
        if relation is None:
            mistakes.append(_missing(f"source.tables has no table {name}", name, self._tables))
            return None
        if request.columns is None:
            return relation
        for column in request.columns:
            if column not in relation.known:
                said = f"table {name} has no column {column} in source.tables"
                mistakes.append(_missing(said, column, relation.known))
        wanted = tuple(one for one in relation.columns if one.name in request.columns)
        return replace(relation, columns=wanted)


def _missing(
    said: str, name: str, known: Sequence[str] | frozenset[str] | dict[str, Relation]
) -> str:
    meant = nearest(name, known)
    return f"{said}; did you mean {meant}?" if meant else said


def _relation(name: str, table: TableConfig) -> Relation:
    schema, _, bare = name.partition(".")
    columns = []
    for column, declared in table.columns.items():
        type_, nullable = column_type(declared)
        is_key = column in table.key
        columns.append(Column(column, type_, nullable=nullable and not is_key, in_identity=is_key))
    return Relation(
        schema,
        bare,
        tuple(columns),
        tuple(table.key),
        unique_keys=(tuple(table.key),),
        known=frozenset(table.columns),
        order=tuple(table.columns),
    )
