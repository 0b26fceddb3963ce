"""Rows and keys that are posted as JSON: checked against their table, and made rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cdc_daemon.events import Change, ChangeKind, Special
from cdc_daemon.nearest import nearest
from cdc_daemon.values import GivenError, SpecialValueError, source_text, watched_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from cdc_daemon.events import Column, Relation, Row
    from cdc_daemon.values import Encoder

NULL: Final = b"null"
OPERATIONS: Final = ("upsert", "delete", "truncate")
_PARTS: Final = {
    "upsert": frozenset({"table", "op", "row", "key"}),
    "delete": frozenset({"table", "op", "key"}),
    "truncate": frozenset({"table", "op"}),
}

Note: TypeAlias = "Callable[[str, str], None]"
"""Is told of a mistake: its place in the JSON, and what it is."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is taken of a pipeline's tables."""

    tables: dict[str, Relation]
    """By `Relation.qualified_name`."""
    keys: dict[str, frozenset[str]]
    """By the same: the columns that say which row is meant."""
    truncates: bool
    """Whether all rows of a table may be taken away at once."""


class Rows:
    """Reads changes of one pipeline's tables."""

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._readers = {
            name: RowReader(relation, expected.keys[name])
            for name, relation in expected.tables.items()
        }

    def change(self, given: Any, at: str, note: Note) -> Change | None:
        """The change that `given` says; None where it has a mistake, which is noted."""
        if not isinstance(given, dict):
            note(at, "expected an object with table, op, and row or key")
            return None
        reader, operation = self._reader(given, at, note), self._operation(given, at, note)
        if reader is None or operation is None:
            return None
        for name in given.keys() - _PARTS[operation]:
            note(f"{at}.{name}", f"{operation} has no {name!r}")
        return reader.change(operation, given, at, note)

    def _reader(self, given: dict[str, Any], at: str, note: Note) -> RowReader | None:
        name = given.get("table")
        if isinstance(name, str) and name in self._readers:
            return self._readers[name]
        known = ", ".join(sorted(self._readers))
        meant = nearest(name, self._readers) if isinstance(name, str) else None
        guess = f"did you mean {meant}?" if meant else f"mapped are {known}"
        note(f"{at}.table", f"expected a table that is mapped, schema.name: {guess}")
        return None

    def _operation(self, given: dict[str, Any], at: str, note: Note) -> str | None:
        operation = given.get("op")
        if operation not in OPERATIONS:
            note(f"{at}.op", f"expected one of {', '.join(OPERATIONS)}")
            return None
        if operation == "truncate" and not self._expected.truncates:
            note(f"{at}.op", "a truncate is left to the stream, which has it in order")
            return None
        return str(operation)


class RowReader:
    """Reads rows of one table."""

    def __init__(self, relation: Relation, key: Collection[str]) -> None:
        self._relation = relation
        self._key = key
        read = {column.name for column in (*relation.columns, *relation.computed)}
        self._known = read | relation.known | {*relation.excluded}
        self._encoders = [watched_encoder(column.type) or _as_it_is for column in relation.columns]

    def change(self, operation: str, given: dict[str, Any], at: str, note: Note) -> Change | None:
        """The change; None where it has a mistake, which is noted."""
        if operation == "truncate":
            return Change(self._relation, ChangeKind.TRUNCATE)
        writes, names = operation == "upsert", operation == "delete" or "key" in given
        old = self._old(given.get("key"), f"{at}.key", note) if names else None
        new = self._new(given.get("row"), f"{at}.row", note) if writes else None
        if (writes and new is None) or (names and old is None):
            return None
        kind = ChangeKind.DELETE if new is None else ChangeKind.UPDATE
        special = any(isinstance(value, Special) for row in (old, new) for value in row or ())
        return Change(self._relation, kind, new, old, special)

    def _new(self, given: Any, at: str, note: Note) -> Row | None:
        """The whole row: what isn't given would be nobody's guess."""
        if not self._is_object(given, at, note):
            return None
        row: Row = []
        whole = True
        for column, encode in self._columns():
            if column.name not in given and column.protection is None:
                note(at, f"column {column.name} is missing: a row is given whole")
            value = self._value(column, encode, given, f"{at}.{column.name}", note)
            whole = whole and value is not None
            row.append(value or NULL)
        return row if whole else None

    def _old(self, given: Any, at: str, note: Note) -> Row | None:
        """The columns that say which row it was; the others are null."""
        if not self._is_object(given, at, note):
            return None
        row: Row = []
        whole = True
        for column, encode in self._columns():
            if column.name in given:
                value = self._value(column, encode, given, f"{at}.{column.name}", note)
            elif column.name in self._key:
                note(at, f"column {column.name} is missing: it is a part of the key")
                value = None
            else:
                value = NULL
            whole = whole and value is not None
            row.append(value or NULL)
        return row if whole else None

    def _columns(self) -> Iterator[tuple[Column, Encoder]]:
        return zip(self._relation.columns, self._encoders, strict=True)

    def _is_object(self, given: Any, at: str, note: Note) -> bool:
        if not isinstance(given, dict):
            note(at, "expected an object of columns and their values")
            return False
        for name in given.keys() - self._known:
            meant = nearest(name, self._known)
            guess = f": did you mean {meant}?" if meant else ""
            note(f"{at}.{name}", f"{self._relation.qualified_name} has no column {name}{guess}")
        return True

    def _value(
        self,
        column: Column,
        encode: Encoder,
        given: dict[str, Any],
        at: str,
        note: Note,
    ) -> bytes | None:
        """None where it is a mistake, which is noted."""
        if column.protection is not None:
            return NULL  # who shows it is left to the stream: only the source may protect it
        value = given.get(column.name)
        if value is None:
            if column.nullable or column.name not in given:
                return NULL
            note(at, f"{column.type.declared or column.type.name} that is never null")
            return None
        try:
            return encode(source_text(column.type, value))
        except GivenError as error:
            note(at, f"{error} ({column.type.declared or column.type.name})")
        except SpecialValueError as special:
            return special.value
        return None


def _as_it_is(text: bytes) -> bytes:
    return text
