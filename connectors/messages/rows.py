"""Rows out of messages: values checked by the type of their column, and made its JSON text. Pure.

What can't be read costs its own row, in the read models that show it: a dead letter says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from cdc_daemon.errors import RejectedError
from cdc_daemon.events import UNCHANGED, Change, ChangeKind, Unreadable
from cdc_daemon.values import GivenError, SpecialValueError, source_text, watched_encoder
from connectors.messages.debeziumvalues import Handling, given
from connectors.messages.paths import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cdc_daemon.events import Column, Relation, Row, Value
    from cdc_daemon.values import Encoder
    from connectors.messages.debeziumvalues import Schema

NULL: Final = b"null"
_JSON: Final = frozenset({"json", "jsonb"})


class Rows:
    """Makes rows of one table."""

    def __init__(self, relation: Relation, handling: Handling | None) -> None:
        """`handling`: values are as Debezium writes them; None: as `to_jsonb` has them, but where a
        schema comes with them.
        """  # noqa: D205 - one sentence
        self.relation = relation
        self._handling = handling
        self._columns: list[tuple[Column, Encoder]] = [
            (column, watched_encoder(column.type) or _as_it_is) for column in relation.columns
        ]
        self._key = frozenset(relation.primary_key)

    def upsert(
        self, field: Callable[[str], Any], schemas: Mapping[str, Schema], where: str
    ) -> Change:
        """The row as it is from now on; `field` gives the value of a column, or `ABSENT`.

        `where`: of which message, for people.
        """
        row = [
            self._value(column, encode, field(column.name), schemas.get(column.name), where)
            for column, encode in self._columns
        ]
        return Change(self.relation, ChangeKind.UPDATE, row, None, _is_partial(row))

    def delete(
        self, field: Callable[[str], Any], schemas: Mapping[str, Schema], where: str
    ) -> Change:
        """There is no such row from now on; what isn't of its key doesn't matter."""
        row = [
            self._value(column, encode, field(column.name), schemas.get(column.name), where)
            if column.name in self._key
            else NULL
            for column, encode in self._columns
        ]
        if any(isinstance(value, Unreadable) for value in row):  # nobody knows which row it was
            return Change(self.relation, ChangeKind.UPDATE, row, None, has_unchanged=True)
        return Change(self.relation, ChangeKind.DELETE, None, row, _is_partial(row))

    def truncate(self) -> Change:
        """There is no row from now on."""
        return Change(self.relation, ChangeKind.TRUNCATE)

    def unreadable(self, reason: str, explanation: str, raw: bytes) -> Change:
        """Nothing of the message is understood: nothing can be said of any column."""
        row: Row = [Unreadable(reason, explanation, raw) for _ in self._columns]
        return Change(self.relation, ChangeKind.UPDATE, row, None, has_unchanged=True)

    def _value(
        self, column: Column, encode: Encoder, value: Any, schema: Schema | None, where: str
    ) -> Value:
        if value is ABSENT or value is None:
            if column.nullable and column.name not in self._key:
                return NULL
            said = "is missing" if value is ABSENT else "is null"
            return Unreadable("no_value", f"{said} in {where}", None)
        try:
            return self._encoded(column, encode, value, schema)
        except (GivenError, RejectedError) as error:
            declared = column.type.declared or column.type.name
            explanation = f"{error} ({declared}), in {where}"
            return Unreadable("not_of_its_type", explanation, orjson.dumps(value, default=str))

    def _encoded(self, column: Column, encode: Encoder, value: Any, schema: Schema | None) -> Value:
        handling = self._handling or (None if schema is None else Handling())
        try:
            if handling is None:
                return encode(source_text(column.type, value))
            if self._handling is not None and handling.is_unavailable(value):
                return UNCHANGED
            if type(value) is str and column.type.base.name in _JSON:
                return encode(value.encode())
            return encode(source_text(column.type, given(column.type, value, schema, handling)))
        except SpecialValueError as special:
            return special.value


def _is_partial(row: Row) -> bool:
    return any(type(value) is not bytes for value in row)


def _as_it_is(text: bytes) -> bytes:
    return text
