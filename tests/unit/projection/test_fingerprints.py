"""The fingerprint of a mapping: another one is another generation."""

from __future__ import annotations

from typing import Any

import pytest

from cdc_daemon.events import Column, ColumnType, Relation
from tests.generators.by_hand import TEXT, table
from tests.generators.compiling import hotels, protection

BASE: dict[str, Any] = {
    "fields": {"id": None, "name": None, "label": {"expression": "name || city"}},
    "where": "city <> 'x'",
}


def fingerprint(relation: Relation | None = None, **changed: Any) -> str:
    """The fingerprint of a variation."""
    return hotels(relation, **(BASE | changed)).projections[0].model.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        {"freshness": "5s"},
        {"max_document_bytes": "1MB"},
        {"id": ["id"]},
        {"fields": {"name": None, "label": {"expression": "name || city"}, "id": {"column": "id"}}},
    ],
)
def test_the_fingerprint_stays_while_documents_do(changed: dict[str, Any]) -> None:
    """Another freshness, or the same said otherwise, needs no load."""
    assert fingerprint(**changed) == fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"where": "city <> 'y'"},
        {"fields": {**BASE["fields"], "more": {"constant": 1}}},
        {"fields": {**BASE["fields"], "name": {"column": "city"}}},
        {"fields": {**BASE["fields"], "name": {"default": "?"}}},
        {"fields": {**BASE["fields"], "name": {"type": "keyword"}}},
        {"fields": {**BASE["fields"], "label": {"expression": "city || name"}}},
        {"index": {"settings": {"number_of_shards": 2}}},
        {"index": {"mappings": {"dynamic": "true"}}},
    ],
)
def test_the_fingerprint_changes_with_documents_and_index(changed: dict[str, Any]) -> None:
    """Whatever makes another document, or another index, needs another generation."""
    assert fingerprint(**changed) != fingerprint()


def test_the_fingerprint_follows_the_table() -> None:
    """Types of columns that are read, also by `where` only; not of others; nor the table's name."""
    number = ColumnType("numeric", declared="numeric")
    same = table("id", "name", "city", Column("unread", number))
    assert fingerprint(same) == fingerprint()
    longer = Column("city", ColumnType("varchar", modifier=9, declared="character varying(5)"))
    assert fingerprint(table("id", "name", longer)) != fingerprint()
    assert fingerprint(table("id", "name", "city", name="inn")) != fingerprint()
    key = Column("city", TEXT, nullable=False, in_identity=True)
    keyed = Relation("public", "hotel", (*table("id", "name").columns, key), ("id", "city"))
    assert fingerprint(keyed) != fingerprint()


def test_the_fingerprint_follows_the_rules_of_the_columns_read() -> None:
    """Another rule makes other documents; one for a column that isn't read changes nothing."""
    one, other = (
        table("id", "name", Column("city", TEXT, protection=protection("masked", digest)))
        for digest in ("one", "other")
    )
    assert len({fingerprint(), fingerprint(one), fingerprint(other)}) == 3
    unread = Column("unread", TEXT, protection=protection("masked"))
    assert fingerprint(table("id", "name", "city", unread)) == fingerprint()
