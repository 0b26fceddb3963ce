"""The changes of one table in one read, turned back into typed columns by the server.

A page at a time. Where a value can't be turned back (an application wrote it, say, or the label of
an enum has another name by now) its page is read row by row, and that row column by column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from psycopg import sql

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import Change, ChangeKind, Unreadable
from connectors.postgres.puredriver import StatementError
from connectors.postgres.textrows import TYPE_CHANGED, TextRows, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdc_daemon.events import Column, Relation, Row, Value
    from connectors.postgres.puredriver import PureConnection, Texts

FIRST_PAGE: Final = 50
"""Rows; how large they are isn't known yet."""
LARGEST_PAGE: Final = 2000
"""Some milliseconds of work."""
PAGE_BYTES: Final = 4_000_000
"""Pages get smaller where they hold more text than this."""

_TOO_LARGE: Final = "X"
_KINDS: Final = {
    "I": ChangeKind.INSERT,
    "U": ChangeKind.UPDATE,
    "D": ChangeKind.DELETE,
    "T": ChangeKind.TRUNCATE,
}
_OF_VALUES: Final = ("22", "23", "0A", "42846")
"""How SQLSTATEs begin of values that aren't of their types."""
_OF_SHAPE: Final = ("42", "2BP01")
"""And of tables that aren't what they were."""
_LEADING: Final = 4
"""Columns of a line before those of the rows."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A table whose changes the outbox has."""

    relation: Relation
    oid: int
    names: tuple[str, ...]
    """What an application may call it in the outbox."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which changes of the outbox are meant."""

    table: str
    """The outbox, as SQL names it."""
    where: str


class NotedChanges:
    """Those of one table in one read. The session is in the transaction of the read."""

    def __init__(self, session: PureConnection, noted: Noted, selection: Selection) -> None:
        self._session = session
        self._relation = noted.relation
        self._columns = noted.relation.columns
        self._rows = TextRows(self._columns)
        self._outbox = selection.table
        name = sql.Identifier(noted.relation.schema, noted.relation.name)
        self._type = f"null::{name.as_string()}"
        written = ", ".join(sql.Literal(each).as_string() for each in noted.names)
        self._where = (
            f'(c.relation = {noted.oid} or c."table" in ({written})) and {selection.where}'
        )
        self._last = 0
        """The number of the last change that was given."""
        self._page = FIRST_PAGE
        self._is_open = False
        """Whether the cursor is there: one that has failed is of no use any more."""
        self._failed = 0
        self._number = noted.oid

    def pages(self) -> Iterator[list[Change]]:
        """All of it, in order; a table that isn't what its relation says ends it."""
        try:
            while page := self._next():
                yield page
        except RejectedError as error:
            if error.reason != TYPE_CHANGED:
                raise
            yield [misfit(self._relation, error.explanation)]
        except StatementError as error:
            if not error.sqlstate.startswith(_OF_SHAPE):
                raise
            yield [misfit(self._relation, f"its changes can't be read as it is now: {error}")]

    def _next(self) -> list[Change]:
        lines = self._lines()
        if any(line[1] == _TOO_LARGE for line in lines or ()):
            raise RejectedError(TYPE_CHANGED, "a row was too large to be noted")
        if lines is None:
            return self._one_by_one()
        if not lines:
            return []
        self._last = int(lines[-1][0] or 0)
        size = sum(len(text) for line in lines for text in line if text)
        fitting = PAGE_BYTES * len(lines) // max(1, size)
        self._page = max(1, min(2 * self._page, LARGEST_PAGE, fitting))
        return [self._change(line) for line in lines]

    @property
    def _cursor(self) -> str:
        return f"pages_{self._number}_{self._failed}"

    def _lines(self) -> list[Texts] | None:
        """The next page; None where a value in it can't be turned back."""
        fetch = f"fetch {self._page} from {self._cursor}"
        if not self._is_open:
            where = f"{self._where} and c.id > {self._last}"
            query = f"{self._select()} where {where} order by c.id"
            fetch = f"declare {self._cursor} no scroll cursor for {query}; {fetch}"
        found = self._tried(fetch)
        self._is_open = found is not None
        if found is None:
            self._failed += 1
        return found

    def _tried(self, statement: str) -> list[Texts] | None:
        """What a statement gives; None where a value isn't of its type."""
        try:
            return self._session.rows(
                f"savepoint here; {statement}; release savepoint here", "read the outbox"
            )
        except StatementError as error:
            self._session.rows("rollback to savepoint here")
            if error.sqlstate.startswith(_OF_VALUES):
                return None
            raise

    def _select(self) -> str:
        names = [sql.Identifier(column.name).as_string() for column in self._columns]
        lists = ", ".join(f"{side}.{name}" for side in ("n", "o") for name in names)
        return (
            f'select c.id, c.op, c."row" is null, c.key is null{", " * bool(names)}{lists} '  # noqa: S608 - quoted
            f"from {self._outbox} c "
            f'left join lateral json_populate_record({self._type}, c."row") n on true '
            f"left join lateral json_populate_record({self._type}, c.key) o on true"
        )

    def _one_by_one(self) -> list[Change]:
        """The next page, of which at least one row can't be read as a whole."""
        numbers = self._session.rows(
            f"select c.id from {self._outbox} c where {self._where} and c.id > {self._last} "  # noqa: S608 - quoted
            f"order by c.id limit {self._page}",
            "read the outbox",
        )
        changes = []
        for (number,) in numbers:
            lines = self._tried(f"{self._select()} where c.id = {number}")
            changes.append(self._change(lines[0]) if lines else self._in_pieces(int(number or 0)))
        self._last = int(numbers[-1][0] or 0)
        return changes

    def _in_pieces(self, number: int) -> Change:
        """A change with `Unreadable` where a value can't be turned back."""
        [head] = self._session.rows(
            f'select op, "row" is null, key is null from {self._outbox} where id = {number}'  # noqa: S608 - quoted
        )
        new, old = (
            None if is_null == "t" else [self._piece(number, side, each) for each in self._columns]
            for side, is_null in zip(('"row"', "key"), head[1:], strict=True)
        )
        return Change(self._relation, _KINDS[head[0] or ""], new, old, has_unchanged=True)

    def _piece(self, number: int, side: str, column: Column) -> Value:
        name = sql.Identifier(column.name).as_string()
        key = sql.Literal(column.name).as_string()
        lines = self._tried(
            f"select n.{name} from {self._outbox} c, lateral json_populate_record("  # noqa: S608 - quoted
            f"{self._type}, json_build_object({key}, c.{side} -> {key})) n where c.id = {number}"
        )
        if lines is not None:
            [value], _ = TextRows([column]).row(lines[0])
            return value
        declared = column.protection.declared if column.protection else column.type.declared
        return Unreadable("invalid_value", f"the outbox has a value that is no {declared}", None)

    def _change(self, line: Texts) -> Change:
        kind = _KINDS[line[1] or ""]
        width = len(self._columns)
        new, is_new_special = self._side(line[2], line[_LEADING : _LEADING + width])
        old, is_old_special = self._side(line[3], line[_LEADING + width :])
        return Change(self._relation, kind, new, old, is_new_special or is_old_special)

    def _side(self, is_null: str | None, texts: Sequence[str | None]) -> tuple[Row | None, bool]:
        return (None, False) if is_null == "t" else self._rows.row(texts)


def misfit(relation: Relation, why: str) -> Change:
    """Says that the table isn't what the mappings were compiled for."""
    return Change(stand_in(relation, why), ChangeKind.UPDATE, [], None)
