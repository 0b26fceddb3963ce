"""The transaction that is being read, as far as joined read models need its rows."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cdc_daemon.errors import RejectedError, SchemaChangedError
from cdc_daemon.events import Change, ChangeKind
from cdc_daemon.projection.rejection import rejection
from cdc_daemon.state import Staged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cdc_daemon.covering import Covered
    from cdc_daemon.delivery.fold import Content
    from cdc_daemon.events import Commit, Relation
    from cdc_daemon.state import Store


class Rejected(NamedTuple):
    """A row that can't be kept, since nobody can read its key."""

    relation: Relation
    content: Content
    """What stands for a document of it: why it is rejected."""


class Intake:
    """Takes changes in, one transaction after the other."""

    def __init__(
        self,
        store: Store,
        covered: Mapping[str, Covered],
        most_bytes: int,
        folder: Path,
        most_spilled_bytes: int | None = None,
    ) -> None:
        """Of larger transactions a part is in `folder`: no more than `most_spilled_bytes`."""
        self._tables = store.tables
        self._covered = covered
        self._most = most_bytes
        self._folder = folder
        self._most_spilled = most_spilled_bytes
        self._staged = self._stage()
        self._misfits: dict[str, str] = {}
        """Why changes of a table can't be understood, by its name."""
        self._rejected: list[Rejected] = []

    def take(self, change: Change) -> None:
        """A change of a table that is kept."""
        try:
            self._staged.put(change)
        except RejectedError as error:
            self._reject(change, error)

    def take_misfit(self, change: Change) -> None:
        """The same of a table in another shape than it is kept in."""
        relation = change.relation
        self._misfits.setdefault(relation.qualified_name, relation.misfit)

    def ended(self, commit: Commit) -> tuple[Staged, list[Rejected]]:
        """All of the transaction, without what is left to loads of tables that have changed.

        Raises SchemaChangedError on a shape unknown.
        """
        left_out = [one for one in self._tables if self._is_left_out(one, commit)] if self else []
        names = {relation.qualified_name for relation in left_out}
        for table in self._misfits.keys() - names:
            shown_by = (commit.position, commit.xid)
            raise SchemaChangedError(table, self._misfits[table], shown_by=shown_by)
        staged, rejected = self._staged, self._rejected
        staged.leave_out(left_out)
        self._begin()
        return staged, [one for one in rejected if one.relation not in left_out]

    @property
    def held_bytes(self) -> int:
        """What is held of it, in memory and on disk."""
        return self._staged.size_bytes + self._staged.spilled_bytes

    @property
    def spilled_bytes(self) -> int:
        """What of it is on disk."""
        return self._staged.spilled_bytes

    def __bool__(self) -> bool:
        return bool(self._staged or self._misfits or self._rejected)

    def forget(self) -> None:
        """The transaction comes again from its beginning, or never."""
        self._staged.close()
        self._begin()

    def _begin(self) -> None:
        self._staged, self._misfits, self._rejected = self._stage(), {}, []

    def _stage(self) -> Staged:
        return Staged(self._tables, self._folder, self._most, self._most_spilled)

    def _is_left_out(self, relation: Relation, commit: Commit) -> bool:
        """Whether the load of the table has what the transaction did to it."""
        covered = self._covered.get(relation.qualified_name)
        return covered is not None and covered.leaves_out(commit.position, commit.xid)

    def _reject(self, change: Change, error: RejectedError) -> None:
        """Where the row had another key before, what was kept of it goes."""
        if change.new is None:
            return
        name = b'"row without key %b"' % sha256(repr(change.new).encode()).hexdigest().encode()
        content = rejection(error, change.relation, change.new)
        self._rejected.append(Rejected(change.relation, (name, content)))
        if change.old is not None:
            gone = Change(change.relation, ChangeKind.DELETE, old=change.old, has_unchanged=True)
            with suppress(RejectedError):
                self._staged.put(gone)
