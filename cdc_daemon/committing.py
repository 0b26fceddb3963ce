"""What the reader does at the end of a transaction: all it made of the documents is sent.

All of them have the version of its commit, but where the load of a table has what it did: that is
its position, or what the source says it is. Of a transaction that was put together of messages with
versions of their own, each document has that of its message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import SchemaChangedError
from cdc_daemon.events import Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cdc_daemon.backfill.backfill import Backfill
    from cdc_daemon.backfill.filler import HoleFiller
    from cdc_daemon.backfill.window import Transaction
    from cdc_daemon.covering import Covered
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.delivery.numbered import Numbered
    from cdc_daemon.delivery.route import Route
    from cdc_daemon.delivery.transactions import OpenTransactions
    from cdc_daemon.events import Commit
    from cdc_daemon.joining import Joiner
    from cdc_daemon.sharing.slots import Share
    from cdc_daemon.state import Staged


class Committing:
    """Of one pipeline. The reader calls it."""

    def __init__(  # noqa: PLR0913 - what it is connected to, each by its name
        self,
        *,
        transactions: OpenTransactions,
        delivery: Delivery,
        backfill: Backfill,
        filler: HoleFiller,
        joiner: Joiner | None,
        covered: Mapping[str, Covered],
        share: Share,
    ) -> None:
        self._share = share
        self._transactions = transactions
        self._delivery = delivery
        self._backfill = backfill
        self._filler = filler
        self._joiner = joiner
        self._covered = covered

    def commit(self, commit: Commit) -> None:
        """Send what the transaction made of the documents. Raises SchemaChangedError."""
        position = commit.position
        delivery = self._delivery
        delivery.progress.sending = position
        delivery.monitor.delays.committed(
            position, commit.time, commit.traceparent, start=commit.start
        )
        changed = [
            route
            for route in self._transactions.committed(commit.xid)
            if route.fold and not self._is_left_out(route, commit)
        ]
        numbered = self._transactions.take_numbered()
        staged = None if self._joiner is None else self._joiner.commit(commit)
        touched = [*(one.route for one in numbered), *changed]
        if touched or staged is not None:
            self._backfill.recent.append(commit.xid)
        delivery.monitor.delays.changes(self._shown_in(touched, staged))
        window = self._window_of(commit, touched, staged)
        self._filler.begin(commit)
        for one in numbered:
            self._send_numbered(one, commit, window)
        for route in changed:
            self._send(route, commit, window)
        self._transactions.ended(commit.xid)
        delivery.metrics.transaction()

    def _send(self, route: Route, commit: Commit, window: Transaction | None) -> None:
        """Send what the transaction made of the documents of one read model."""
        fold, version = route.fold, self._version(route, commit)
        if fold.truncated:
            # One below: nothing has that version, so what this transaction writes stays above it.
            before = _just_beyond(commit.version) if commit.version else Position(version - 1)
            self._clear(route, before, window)
        if fold.is_scattered:
            self._transactions.require_room(fold.spilled_bytes)  # it is written once more
            self._delivery.aside(fold.gather)
        self._put(route, version, fold.drain(), window)

    def _send_numbered(
        self, numbered: Numbered, commit: Commit, window: Transaction | None
    ) -> None:
        """Send documents of one read model, each at the version that it has by itself."""
        route = numbered.route
        if numbered.truncated:
            self._clear(route, _just_beyond(numbered.truncated), window)
        for version, contents in numbered.by_version().items():
            # What can't be read says no version either; it becomes dead letters.
            self._put(route, Position(version or commit.position), contents, window)

    def _clear(self, route: Route, before: Position, window: Transaction | None) -> None:
        """TRUNCATE: delete what has a version before this one."""
        self._delivery.clear_before(route.index, before)
        self._filler.truncated(route.index)
        if window is not None:
            window.truncated(route.index)

    def _put(
        self,
        route: Route,
        version: Position,
        contents: Iterable[Content],
        window: Transaction | None,
    ) -> None:
        delivery = self._delivery
        contents = self._filler.watching(route.index, self._share.own(contents))
        if window is not None and route.index in self._backfill.loading:
            contents = window.touching(route.index, contents)
        after = self._filler.after(delivery.progress.received)
        delivery.dispatcher.send(route.index, version, contents, after=after)

    def _shown_in(self, changed: Sequence[Route], staged: Staged | None) -> Iterator[str]:
        """The names of the read models that show something of it."""
        yield from (route.projection.name for route in changed)
        if self._joiner is not None and staged is not None:
            yield from self._joiner.readers(staged)

    def _is_left_out(self, route: Route, commit: Commit) -> bool:
        """Whether the load of the table has it. Raises SchemaChangedError on a shape unknown."""
        table = route.projection.relation.qualified_name
        covered = self._covered.get(table)
        if covered is not None and covered.leaves_out(commit.position, commit.xid):
            route.fold.clear()
            return True
        if route.fold.misfit:
            shown_by = (commit.position, commit.xid)
            raise SchemaChangedError(table, route.fold.misfit, shown_by=shown_by)
        return False

    def _version(self, route: Route, commit: Commit) -> Position:
        if commit.version:
            return Position(commit.version)
        covered = self._covered.get(route.projection.relation.qualified_name)
        return commit.position if covered is None else covered.version(commit.position)

    def _window_of(
        self, commit: Commit, changed: Sequence[Route], staged: Staged | None
    ) -> Transaction | None:
        """What notes the touched documents, if chunks that wait or will come may not see them.

        Of what goes into the state the rows are noted already.
        """
        loading = self._backfill.loading
        if not loading or not (staged or any(route.index in loading for route in changed)):
            return None
        window = self._backfill.transaction(commit.xid)
        if window is not None and staged is not None:
            self._backfill.streamed(staged, window)
        return window


def _just_beyond(version: int) -> Position:
    """Of a TRUNCATE that brings its version: what is as old as it is goes with it.

    Such versions may leave no room between each other, as offsets do, or be the same; and its
    messages come in one order, so what has the same one by now was there before.
    """
    return Position(version + 1)
