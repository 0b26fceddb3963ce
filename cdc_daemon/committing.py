"""What the reader does at the end of a transaction: all it made of the documents is sent.

All of them have the version of its commit, but where the load of a table has what it did: that is
its position, or what the source says it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cdc_daemon.errors import SchemaChangedError
from cdc_daemon.events import Position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cdc_daemon.backfill.backfill import Backfill
    from cdc_daemon.backfill.filler import HoleFiller
    from cdc_daemon.backfill.window import Transaction
    from cdc_daemon.covering import Covered
    from cdc_daemon.delivery.delivery import Delivery
    from cdc_daemon.delivery.transactions import OpenTransactions, Route
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
        staged = None if self._joiner is None else self._joiner.commit(commit)
        if changed or staged is not None:
            self._backfill.recent.append(commit.xid)
        delivery.monitor.delays.changes(self._shown_in(changed, staged))
        window = self._window_of(commit, changed, staged)
        self._filler.begin(commit)
        for route in changed:
            self._send(route, commit, window)
        self._transactions.ended(commit.xid)
        delivery.metrics.transaction()

    def _send(self, route: Route, commit: Commit, window: Transaction | None) -> None:
        """Send what the transaction made of the documents of one read model."""
        delivery, fold = self._delivery, route.fold
        version = self._version(route, commit)
        if fold.truncated:
            delivery.clear_before(route.index, version)
            self._filler.truncated(route.index)
            if window is not None:
                window.truncated(route.index)
        if fold.is_scattered:
            self._transactions.require_room(fold.spilled_bytes)  # it is written once more
            delivery.aside(fold.gather)
        contents = self._filler.watching(route.index, self._share.own(fold.drain()))
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
