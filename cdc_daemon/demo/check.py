"""The check that every document equals its row: both sides read whole, and compared both ways.

Independent of the daemon: PostgreSQL says what the documents must be (`to_jsonb` over SQL that
repeats the mapping), OpenSearch what they are. Numbers are compared exactly, never as floats.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg

from cdc_daemon.outside.search import Search

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHOWN: Final = 10
"""Differences that are kept to be shown; the others are only counted."""

ROWS_AT_ONCE: Final = 2000


@dataclass(slots=True)
class Comparison:
    """What came of comparing documents with rows."""

    compared: int = 0
    """Ids that have a row, a document, or both."""
    differing: int = 0
    shown: list[str] = field(default_factory=list)
    """The first of those that differ, each with its id and how."""

    @property
    def sentence(self) -> str:
        """The result, as people and tests read it."""
        return (
            f"every document equals its row: {self.compared:,} compared, {self.differing:,} differ"
        )

    @property
    def exit_code(self) -> int:
        """0, or 1 if anything differs."""
        return 1 if self.differing else 0

    def differ(self, explanation: str) -> None:
        """Count one document that isn't as its row says."""
        self.differing += 1
        if len(self.shown) < SHOWN:
            self.shown.append(explanation)


def compare(dsn: str, url: str, expected: Mapping[str, LiteralString]) -> Comparison:
    """Compare what `expected` says with what the indices hold.

    `expected`: for each index (or alias) a query that gives the id and the JSON text of every
    document that it must hold. Nothing may be written meanwhile. Nothing is refreshed here: what
    the daemon says can be found must be found.
    """
    comparison = Comparison()
    with Search(url) as search, psycopg.connect(dsn) as connection:
        connection.execute("set timezone = 'UTC'")
        for index, query in expected.items():
            _compare_one(comparison, index, search, _rows(connection, query))
    return comparison


def exact(text: str) -> Any:
    """JSON with numbers that compare exactly: 1.5 = 1.50 = 15e-1, but never 1 = true."""
    return json.loads(text, parse_int=_number, parse_float=_number)


def _number(text: str) -> tuple[str, Decimal]:
    return ("number", Decimal(text))  # JSON has no tuples, so nothing else equals it


def _compare_one(
    comparison: Comparison, index: str, search: Search, rows: Iterator[tuple[str, str]]
) -> None:
    documents = dict(search.documents(index, exact))
    for identifier, row in rows:
        comparison.compared += 1
        if identifier not in documents:
            comparison.differ(f"{index} {identifier}: missing, its row is there")
            continue
        document, wanted = documents.pop(identifier), exact(row)
        if document != wanted:
            comparison.differ(f"{index} {identifier}: {_difference(document, wanted)}")
    for identifier in documents:
        comparison.compared += 1
        comparison.differ(f"{index} {identifier}: invented, it has no row")


def _rows(connection: psycopg.Connection, query: LiteralString) -> Iterator[tuple[str, str]]:
    with connection.cursor(name="expected") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        yield from cursor.execute(query)


def _difference(document: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [
        name
        for name in {**wanted, **document}
        if name not in document or name not in wanted or document[name] != wanted[name]
    ]
    parts = [
        f"{name} is {_shown(document, name)}, must be {_shown(wanted, name)}" for name in names
    ]
    return "; ".join(parts)


def _shown(content: dict[str, Any], name: str) -> str:
    if name not in content:
        return "absent"
    return json.dumps(_plain(content[name]), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return float(value[1]) if value[1] % 1 else int(value[1])
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value
