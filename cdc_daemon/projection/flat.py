"""A flat projection: one table's rows, each its own document.

A change becomes document contents by id: `fold.put(id, body)`, with body None for "no document".
Nothing is kept between changes, so a row that leaves `where` deletes a document that may not
exist: a delete is as strong as a write, and costs less than remembering.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from cdc_daemon.errors import RejectedError, StopError
from cdc_daemon.events import UNCHANGED, Change, ChangeKind, Unreadable
from cdc_daemon.projection.hole import hole
from cdc_daemon.projection.rejection import left_out, rejection

if TYPE_CHECKING:
    from collections.abc import Callable

    from cdc_daemon.events import Relation, Row
    from cdc_daemon.ports import ReadModel

_NULL: Final = b"null"
_PLAIN: Final[set[type]] = {bytes}
"""What most rows consist of, also in such a block."""


class Folding(Protocol):
    """Where contents go: of two for one id the later wins, and a truncate clears all."""

    def put(self, document_id: bytes, body: bytes | None) -> None:
        """Set the content of one document; None means that there is none."""

    def truncate(self) -> None:
        """No document is left."""


@dataclass(slots=True)
class FlatProjection:
    """A compiled mapping over one table (`compiler.py` makes it)."""

    model: ReadModel
    relation: Relation
    """The table, with every column that any projection of the pipeline reads."""
    reads: tuple[int, ...]
    """The places in a row that this projection reads."""
    id_of: Callable[[Row], bytes]
    """The document id as a JSON string."""
    body_of: Callable[[Row], bytes]
    """The document as JSON on one line. Raises RejectedError where an expression fails."""
    includes: Callable[[Row], bool] | None
    """`where`; None includes every row."""
    key: tuple[str, ...]
    """The columns that make the id: a row can be read by them. None where one is protected."""
    columns_shown: dict[str, str]
    """Field to column, for fields that show a column as it is: to name the row in dead letters."""
    max_document_bytes: int
    of_special: FlatProjection | None = None
    """The same projection for rows that hold `Special` values, where they matter to it."""
    owns: Callable[[bytes], bool] | None = None
    """Whether a document is ours, by its id: of others none is made. None: all are."""

    @property
    def name(self) -> str:
        """The read model."""
        return self.model.name

    def shared(self, owns: Callable[[bytes], bool]) -> FlatProjection:
        """The same projection, where others make some of the documents."""
        of_special = None if self.of_special is None else self.of_special.shared(owns)
        return replace(self, owns=owns, of_special=of_special)

    @property
    def relations(self) -> tuple[Relation, ...]:
        """Every table that it reads: one."""
        return (self.relation,)

    def apply(self, change: Change, fold: Folding) -> None:
        """Put what `change` makes of the documents; a row that can't be one is put as rejected,
        one that lacks a value as a hole.
        """  # noqa: D205 - one sentence
        if change.has_unchanged:
            self._apply_incomplete(change, fold)
            return
        new = change.new
        if new is not None:
            try:
                self._put_row(new, change, fold)
            except RejectedError as error:
                fold.put(*self.rejected(new, error))
        elif change.old is not None:
            self._remove(change.old, fold)
        else:
            fold.truncate()

    def _apply_incomplete(self, change: Change, fold: Folding) -> None:
        """A change with values that are no JSON: fill in what can be, or reject the row."""
        old = None if change.old is None else _readable(change.old)
        new = change.new
        if new is not None:
            whole = self._fill_unchanged(change, new)
            if error := self._unreadable(new):
                if old is not None:
                    self._remove(old, fold)
                fold.put(*self.rejected(new, error))
                return
            if not whole:
                self._put_hole(new, old, fold)
                return
        (self.of_special or self).apply(Change(change.relation, change.kind, new, old), fold)

    def _put_hole(self, new: Row, old: Row | None, fold: Folding) -> None:
        if not self.relation.has_rows:
            fold.put(*self.rejected(new, left_out()))
            return
        if not self.key:
            raise StopError(
                f"an update of {self.relation.qualified_name} left out a value that PostgreSQL "
                "stores out of line (TOAST) and did not change. Such a row is read by its key, but "
                "a rule of source.columns protects the key. Run: alter table "
                f"{self.relation.qualified_name} replica identity full; and start again"
            )
        if old is not None:
            self._remove(old, fold)
        try:
            document_id = self.id_of(new)
        except RejectedError as error:
            fold.put(*self.rejected(new, error))
            return
        places = [self.relation.index_of(name) for name in self.key]
        key = [(self.relation.columns[place], new[place]) for place in places]
        fold.put(document_id, hole(key))  # type: ignore[arg-type]  # a key is never out of line

    def _unreadable(self, row: Row) -> RejectedError | None:
        """Why `row` can't be a document of this projection, if it reads such a value."""
        for at in self.reads:
            value = row[at]
            if isinstance(value, Unreadable):
                column = self.relation.columns[at].name
                return RejectedError(value.reason, f"column {column}: {value.explanation}")
        return None

    def _put_row(self, new: Row, change: Change, fold: Folding) -> None:
        if change.old is not None:
            # First: the new id may be the same, and if there is none the old document still goes.
            self._remove(change.old, fold)
        document_id = self.id_of(new)
        if self.owns is not None and not self.owns(document_id):
            return
        if self.includes is None or self.includes(new):
            fold.put(document_id, self.document(new))
        elif change.kind is ChangeKind.UPDATE:
            fold.put(document_id, None)

    def _remove(self, old: Row, fold: Folding) -> None:
        """The row has left its id; where no id can be made of it, it never had a document."""
        try:
            document_id = self.id_of(old)
        except RejectedError:
            return
        fold.put(document_id, None)

    def load(self, row: Row) -> tuple[bytes, bytes] | None:
        """Id and document of an existing row; None where `where` leaves it out."""
        try:
            if self.includes is not None and not self.includes(row):
                return None
            return self.id_of(row), self.document(row)
        except RejectedError as error:
            return self.rejected(row, error)

    def id_of_any(self, row: Row) -> bytes:
        """The document id of a row, or what stands for it where there can be none."""
        try:
            return self.id_of(row)
        except RejectedError as error:
            return self.rejected(row, error)[0]

    def load_partly_unreadable(self, row: Row) -> tuple[bytes, bytes] | None:
        """As `load`, for a row of a block in which some rows hold `Unreadable` or `Special`."""
        if set(map(type, row)) == _PLAIN:
            return self.load(row)
        error = self._unreadable(row)
        return (self.of_special or self).load(row) if error is None else self.rejected(row, error)

    def document(self, row: Row) -> bytes:
        """The document of `row`. Raises RejectedError if it can't be made, or is too large."""
        body = self.body_of(row)
        if len(body) > self.max_document_bytes:
            raise RejectedError(
                "document_too_large",
                f"the document has {len(body)} bytes, max_document_bytes allows "
                f"{self.max_document_bytes}",
            )
        return body

    def rejected(self, row: Row, error: RejectedError) -> tuple[bytes, bytes]:
        """The id and the content that stand for a row which can't become a document."""
        try:
            document_id = self.id_of(_readable(row))
        except RejectedError:
            digest = hashlib.sha256(repr(row).encode()).hexdigest()
            document_id = b'"row without id %b"' % digest.encode()
        return document_id, rejection(error, self.relation, row)

    def _fill_unchanged(self, change: Change, new: Row) -> bool:
        """Take values that were not sent from the old row, as far as the source sends it.

        That is the whole row under replica identity full, the key otherwise. Return whether the
        values that this projection reads are all there.
        """
        whole = True
        full = self.relation.replica_identity == "full"
        for at in self.reads:
            if new[at] is not UNCHANGED:
                continue
            if change.old is not None and (full or self.relation.columns[at].in_identity):
                new[at] = change.old[at]
            else:
                whole = False
        return whole


def _readable(row: Row) -> Row:
    """`row` with NULL for what can't be read: no document id is made of that either."""
    return [_NULL if isinstance(value, Unreadable) else value for value in row]
